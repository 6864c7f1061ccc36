"""The networks of the golden files: small, with every shape of layer the engine must get right."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 5


def conv(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution with a bias and pads of half the kernel."""
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups)


def clip6(x: Tensor) -> Tensor:
    """ReLU6 that torch.onnx exports as one Clip; F.relu6 becomes Relu and Clip."""
    return F.hardtanh(x, 0.0, 6.0)


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise, project 1x1; a skip where the shapes allow it."""

    def __init__(self, c_in: int, c_out: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        middle = c_in * expand
        self.expand = conv(c_in, middle, 1)
        self.depthwise = conv(middle, middle, kernel, stride, groups=middle)
        self.project = conv(middle, c_out, 1)
        self.has_skip = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """ReLU6 after the first two convolutions, none after the last."""
        y = self.project(clip6(self.depthwise(clip6(self.expand(x)))))
        return x + y if self.has_skip else y


class MobileNetSmall(nn.Module):
    """MobileNetV2 in small: a depthwise stem block, skip, strides 1 and 2, kernels 3 and 5."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8, 3, stride=2)
        self.stem_depthwise = conv(8, 8, 3, groups=8)
        self.block1 = InvertedResidual(8, 8, expand=2, kernel=3, stride=1)
        self.block2 = InvertedResidual(8, 12, expand=2, kernel=5, stride=2)
        self.last = conv(12, 24, 1)
        self.classifier = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """[n,3,16,16] to [n,5]."""
        x = F.relu6(self.stem_depthwise(F.relu6(self.stem(x))))
        x = clip6(self.last(self.block2(self.block1(x))))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; where the stride is 2, the skip is average pool and 1x1."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(c_in, c_out, 3, stride)
        self.conv2 = conv(c_out, c_out, 3)
        self.shortcut = conv(c_in, c_out, 1) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        """relu(skip(x) + conv2(relu(conv1(x))))."""
        y = self.conv2(F.relu(self.conv1(x)))
        return F.relu(y + (self.shortcut(F.avg_pool2d(x, 2)) if self.shortcut else x))


class ResNetSmall(nn.Module):
    """ResNet in small: max pool after the stem, one block of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8, 3)
        self.block1 = BasicBlock(8, 8, stride=1)
        self.block2 = BasicBlock(8, 12, stride=2)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """[n,3,16,16] to [n,5]."""
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2, 1)
        return self.fc(F.adaptive_avg_pool2d(self.block2(self.block1(x)), 1).flatten(1))


class Dense(nn.Module):
    """A linear map of tokens whose weight is [in][out], so that ONNX keeps its name in a MatMul."""

    def __init__(self, features_in: int, features_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features_in, features_out) / math.sqrt(features_in))
        self.bias = nn.Parameter(0.1 * torch.randn(features_out))

    def forward(self, x: Tensor) -> Tensor:
        """x w + b."""
        return x @ self.weight + self.bias


class TransformerSmall(nn.Module):
    """One pre-norm transformer block with two heads, then the mean over tokens and a classifier."""

    TOKENS, WIDTH, HEADS = 6, 8, 2

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(self.WIDTH), nn.LayerNorm(self.WIDTH)
        self.query, self.key = Dense(self.WIDTH, self.WIDTH), Dense(self.WIDTH, self.WIDTH)
        self.value, self.out = Dense(self.WIDTH, self.WIDTH), Dense(self.WIDTH, self.WIDTH)
        self.up, self.down = Dense(self.WIDTH, 2 * self.WIDTH), Dense(2 * self.WIDTH, self.WIDTH)
        self.classifier = nn.Linear(self.WIDTH, CLASSES)

    def _heads(self, x: Tensor) -> Tensor:
        """[n,t,w] to [n,h,t,w/h]."""
        return x.reshape(-1, self.TOKENS, self.HEADS, self.WIDTH // self.HEADS).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """[n,6,8] to [n,5]."""
        y = self.norm1(x)
        q, k, v = self._heads(self.query(y)), self._heads(self.key(y)), self._heads(self.value(y))
        scores = (q @ k.transpose(2, 3)) * (self.WIDTH // self.HEADS) ** -0.5
        mixed = (F.softmax(scores, -1) @ v).transpose(1, 2)
        x = x + self.out(mixed.reshape(-1, self.TOKENS, self.WIDTH))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return self.classifier(x.mean(1))
