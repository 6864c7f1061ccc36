// The table of kernels an executor runs. C, so that the portable set also runs on microcontrollers.
//
// Rules for every kernel: no allocation, no I/O, no global state; every buffer is the caller's;
// buffers may be aligned to 4 bytes only; inputs and outputs do not overlap unless the comment says
// so; results depend on the arguments alone (same arguments, same bits).
//
// Layouts: activations NHWC; convolution weights [kh][kw][ci/groups][co]; depthwise weights
// [kh][kw][c]; matrix weights [in][out]. Bit masks: element i is bit i % 8 of byte i / 8.
#ifndef TINYTL_ENGINE_KERNELS_KERNELS_H_
#define TINYTL_ENGINE_KERNELS_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Weights of a layer as a kernel reads them: f32, or, where that is null, 8 bits with one scale for
// every entry of their last axis: w[..., c] = q8[..., c] * scale[c].
typedef struct {
  const float* f32;
  const int8_t* q8;
  const float* scale;
} tt_weights;

// What happens to every element of a result before it is written, in this order. All zero: nothing.
// Element i of masks and of keep_within belongs to element i of the result, counted from its first
// one in steps as they lie in memory. With masks, the channels (the length of a row, and the step
// from row to row) are a multiple of 8.
typedef struct {
  const float* bias;    // [channels] or null: added
  int32_t clip;         // nonzero: limited to [low, high], NaN stays
  float low, high;      // of clip, inside and keep_within; high may be +infinity
  uint8_t* inside;      // or null: bit i is written: low < y[i] && y[i] < high, after the clip
  const uint8_t* keep;  // or null: y[i] = 0 where bit i is 0
  const float*
      keep_within;  // or null: y[i] = 0 unless low < keep_within[i] && keep_within[i] < high
} tt_epilogue;

// c[m,n] = epilogue(factor * a[m,k] . b[k,n]); with `accumulate` the old c is added before the
// clip. Where k is at most 256 the bits are then those of the product by itself and `add`. Element
// (i,j) of a is a[i * a_row + j * a_col], of b is b[i * b_row + j * b_col]; of c is c[i * c_row +
// j]. One kernel serves a layer's three directions by its strides. Each element of c depends on its
// row of a and its column of b alone, not on m, nor on n where n starts at a multiple of 16: parts
// of a product can be computed apart, to the same bits.
typedef struct {
  int32_t m, n, k;
  const float* a;
  int64_t a_row, a_col;
  tt_weights b;  // scale: [n], or [k] with scale_by_row
  int64_t b_row, b_col;
  int32_t scale_by_row;
  float factor;  // 1 unless the product is to be scaled
  float* c;
  int64_t c_row;
  int32_t accumulate;
  tt_epilogue epilogue;
} tt_gemm;

typedef struct {
  int32_t batch;
  int32_t in_h, in_w, in_c;
  int32_t out_h, out_w, out_c;
  int32_t kernel_h, kernel_w;
  int32_t stride_h, stride_w;
  int32_t pad_top, pad_left;  // bottom and right follow from the output size
  int32_t dilation_h, dilation_w;
  int32_t groups;  // depthwise kernels: groups = in_c = out_c
  // A range of channels by itself (depthwise kernels, and of output channels conv2d_grad_weight
  // with groups = 1): pointers are those of its first channel, and `pitch` is the number of all
  // channels, from one pixel to the next and along the last axis of w. 0: there are no others.
  int32_t pitch;
} tt_conv2d_shape;

// Functions of one number, with their parameters alpha and beta. NaN gives NaN.
typedef enum {
  TT_LINEAR,        // (x + beta) alpha; beta = -0.0f adds nothing
  TT_ABS,           // |x|
  TT_LEAKY_RELU,    // x where x > 0, else alpha x
  TT_HARD_SIGMOID,  // min(max(alpha x + beta, 0), 1)
  TT_HARD_SWISH,    // x min(max(x / 6 + 1/2, 0), 1)
  TT_EXP,
  TT_LOG,
  TT_SIGMOID,  // 1 / (1 + exp(-x))
  TT_TANH,
  TT_ERF,
  TT_ELU,        // x where x > 0, else alpha (exp(x) - 1)
  TT_SOFTPLUS,   // log(1 + exp(x))
  TT_SILU,       // x sigmoid(x)
  TT_GELU,       // x Phi(x), Phi the normal distribution function
  TT_GELU_TANH,  // x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3)
} tt_function;

typedef enum { TT_ADD, TT_SUB, TT_MUL, TT_DIV } tt_arithmetic;

// Row i, column j of an operand is data[i * row + j * col]; col is 1, or 0 where it is broadcast.
typedef struct {
  const float* data;
  int64_t row, col;
} tt_operand;

typedef enum {
  TT_SUM,          // of x - shift
  TT_SUM_SQUARES,  // of (x - shift)^2
  TT_SUM_EXP,      // of exp(x - shift)
  TT_MAX,          // of x; NaN behind the first element is passed over
} tt_reduction;

// Groups of channels of an NHWC tensor. A sample has channels / group of them; those of all samples
// are numbered one after the other.
typedef struct {
  int64_t pixels;    // of a sample, > 0
  int32_t channels;  // of a pixel, and the step from pixel to pixel
  int32_t group;     // channels of a group, divides `channels`
  float epsilon;
} tt_group_norm;

// Windows over an NHWC tensor. Every window has places inside the input.
typedef struct {
  int32_t batch, channels;
  int32_t in_h, in_w, out_h, out_w;
  int32_t kernel_h, kernel_w;
  int32_t stride_h, stride_w;
  int32_t pad_top, pad_left, pad_bottom, pad_right;
  int32_t count_pad;  // average: nonzero: places in the padding count as zeros, else not at all
} tt_pool_shape;

typedef enum {
  TT_NEAREST,        // pixel i reads floor(i in / out)
  TT_HALF_PIXEL,     // bilinear at (i + 1/2) in / out - 1/2, at least 0
  TT_ALIGN_CORNERS,  // bilinear at i (in - 1) / (out - 1)
} tt_resize_mode;

typedef struct {
  int32_t batch, channels;
  int32_t in_h, in_w, out_h, out_w;
  tt_resize_mode mode;
} tt_resize_shape;

// One step of Adam (see `adam`).
typedef struct {
  float rate, grad_scale, beta1, beta2, epsilon, correction1, correction2;
  int32_t decoupled;
  float weight_decay;
} tt_adam_step;

// The end of a layer of 8-bit integers, where x stands for (x - x_zero) times its scale:
//   y = y_zero + round((sum of (x - x_zero) w + bias[c]) factor scale[c]), limited to [low, high].
// The sum is exact; with the bias it is limited to what an int32 holds.
typedef struct {
  int32_t x_zero, y_zero;
  int32_t low, high;    // within [-128, 127]
  float factor;         // the scale of x over that of y, >= 0 and finite; so is factor scale[c]
  const float* scale;   // [channels] of the weights, or null: 1
  const int32_t* bias;  // [channels], or null
  // 0: the product is that of two floats, rounded to the nearest, ties to even. 1: it is exact, in
  // integers of at most 64 bits, and ties are rounded up.
  int32_t fixed_point;
} tt_requantize;

// A layer of 8-bit integers in a chain of them (tt_chain_rows_q8).
typedef struct {
  void (*run)(const tt_conv2d_shape*, const tt_requantize*, const int8_t* x, const int8_t* w,
              int8_t* y);
  tt_conv2d_shape shape;  // of a whole image
  tt_requantize end;
  const int8_t* w;
  // Room for the rows of y that the next layer reads at once: tt_chain_rows(shape of that). Not of
  // the last layer.
  int8_t* rows;
  // What is there, and the row to be computed next: for tt_chain_rows_q8 alone.
  int32_t first, count, next;
} tt_chain_layer;

// y = y_zero + round((a - a_zero) a_factor + (b - b_zero) b_factor), limited to [low, high].
typedef struct {
  int32_t a_zero, b_zero, y_zero;
  int32_t low, high;
  float a_factor, b_factor;  // scales over that of y, >= 0 and at most 2^14
  int32_t fixed_point;       // 1: of factors with 22 bits, in integers; else in floats
} tt_add_scales;

// One step of SGD on integers (see `sgd_q8`).
typedef struct {
  float rate, grad_scale;
  int32_t qas;         // nonzero: quantization-aware scaling
  int32_t stochastic;  // nonzero: rounded up or down at random, else to the nearest
} tt_integer_step;

#define TT_ADAM8_BLOCK 256  // elements that share a scale

typedef struct {
  const char* name;  // "portable", "avx2", ...

  // Matrix product. Scratch depends on n and k, the strides and the kind of b only.
  size_t (*gemm_scratch_bytes)(const tt_gemm*);
  void (*gemm)(const tt_gemm*, void* scratch);

  // y[n,oh,ow,co] = epilogue(conv(x[n,h,w,ci], w)). `epilogue` may be null. `is_q8`: the weights
  // have 8 bits.
  size_t (*conv2d_scratch_bytes)(const tt_conv2d_shape*, int32_t is_q8);
  void (*conv2d)(const tt_conv2d_shape*, const float* x, const tt_weights* w,
                 const tt_epilogue* epilogue, float* y, void* scratch);
  // dx = epilogue(gradient of the input). Overwrites dx completely.
  size_t (*conv2d_grad_input_scratch_bytes)(const tt_conv2d_shape*, int32_t is_q8);
  void (*conv2d_grad_input)(const tt_conv2d_shape*, const float* dy, const tt_weights* w,
                            const tt_epilogue* epilogue, float* dx, void* scratch);
  // dw = factor * gradient of the weights; with `accumulate` this is added to dw, which is
  // otherwise overwritten completely.
  size_t (*conv2d_grad_weight_scratch_bytes)(const tt_conv2d_shape*);
  void (*conv2d_grad_weight)(const tt_conv2d_shape*, const float* x, const float* dy, float factor,
                             int32_t accumulate, float* dw, void* scratch);

  // The same for depthwise convolution, w and dw [kh,kw,c]. No scratch.
  void (*depthwise)(const tt_conv2d_shape*, const float* x, const tt_weights* w,
                    const tt_epilogue* epilogue, float* y);
  void (*depthwise_grad_input)(const tt_conv2d_shape*, const float* dy, const tt_weights* w,
                               const tt_epilogue* epilogue, float* dx);
  void (*depthwise_grad_weight)(const tt_conv2d_shape*, const float* x, const float* dy,
                                float factor, int32_t accumulate, float* dw);

  // y[cols] = sum over rows of x[rows, cols], rows `step` elements apart. The gradient of a bias.
  void (*sum_rows)(const float* x, int64_t rows, int64_t cols, int64_t step, float* y);

  // y[i] = min(max(x[i], low), high). y may be x. high may be +infinity (ReLU).
  void (*clip)(const float* x, int64_t n, float low, float high, float* y);
  // Bit i of mask: low < y[i] && y[i] < high, so that the mask can be taken from the clipped value.
  // Writes ceil(n / 8) bytes, unused bits of the last one 0.
  void (*clip_mask)(const float* y, int64_t n, float low, float high, uint8_t* mask);
  // dx[i] = mask bit i ? dy[i] : 0. dx may be dy.
  void (*mask_apply)(const float* dy, const uint8_t* mask, int64_t n, float* dx);
  // dx[i] = low < y[i] && y[i] < high ? dy[i] : 0. dx may be dy (or y).
  void (*clip_grad)(const float* dy, const float* y, int64_t n, float low, float high, float* dx);

  // z[i] = x[i] + y[i]. z may be x or y.
  void (*add)(const float* x, const float* y, int64_t n, float* z);
  // z = epilogue(x + y), without a bias. z may be x or y.
  void (*add_layer)(const float* x, const float* y, int64_t n, const tt_epilogue* epilogue,
                    float* z);
  // y[i] += factor * x[i].
  void (*add_scaled)(const float* x, float factor, int64_t n, float* y);

  // y[i] = f(x[i]). y may be x.
  void (*map)(tt_function f, const float* x, int64_t n, float alpha, float beta, float* y);
  // dx[i] = dy[i] f'(x[i]), for the functions from TT_HARD_SWISH on but TT_EXP and TT_LOG. `saved`
  // is y of TT_SIGMOID, TT_TANH, TT_ELU and TT_SOFTPLUS, x of the others. dx may be dy or saved.
  void (*map_grad)(tt_function f, const float* dy, const float* saved, int64_t n, float alpha,
                   float* dx);
  // y[i] = x[i] * (mask bit i ? set : clear). y may be x.
  void (*mask_scale)(const float* x, const uint8_t* mask, int64_t n, float set, float clear,
                     float* y);
  // z[rows,cols] = x op y, z without gaps. z may be an operand that has its shape.
  void (*combine)(tt_arithmetic op, const tt_operand* x, const tt_operand* y, int64_t rows,
                  int64_t cols, float* z);

  // n > 0 for TT_MAX.
  float (*reduce)(tt_reduction kind, const float* x, int64_t n, float shift);
  // Of one line of n > 0 elements, `step` apart: y = exp(x) / sum of exp(x), or its logarithm.
  // y may be x.
  void (*softmax)(const float* x, int64_t n, int64_t step, int32_t is_log, float* y);
  // Gradient from y: dx = y (dy - sum of dy y), or dx = dy - exp(y) sum of dy. dx may be dy or y.
  void (*softmax_grad)(const float* dy, const float* y, int64_t n, int64_t step, int32_t is_log,
                       float* dx);

  // Of every row of n elements: y = m scale + bias, m = (x - mean) / sqrt(variance + epsilon).
  // y may be x.
  void (*layer_norm)(const float* x, int64_t rows, int64_t n, const float* scale, const float* bias,
                     float epsilon, float* y);
  // dx of every row; dx may be dy or x.
  void (*layer_norm_grad_input)(const float* dy, const float* x, int64_t rows, int64_t n,
                                const float* scale, float epsilon, float* dx);
  // dscale[n] = sum over rows of dy m.
  void (*layer_norm_grad_scale)(const float* dy, const float* x, int64_t rows, int64_t n,
                                float epsilon, float* dscale);

  // Of the groups [first, last) of all samples, mean and variance over the pixels and channels of
  // each: y = m scale + bias, m = (x - mean) / sqrt(variance + epsilon). Scale and bias are by
  // channel. Every pointer is that of the whole tensor; y may be x. `moments` may be null; else
  // mean and variance of group g are written to moments[2 g] and moments[2 g + 1].
  void (*group_norm)(const tt_group_norm*, int64_t first, int64_t last, const float* x,
                     const float* scale, const float* bias, float* moments, float* y);
  // dx may be dy or x.
  void (*group_norm_grad_input)(const tt_group_norm*, int64_t first, int64_t last, const float* dy,
                                const float* x, const float* scale, float* dx);
  // Of the groups [first, last) of a sample: dscale[channels] = sum over all samples of dy m.
  void (*group_norm_grad_scale)(const tt_group_norm*, int64_t samples, int64_t first, int64_t last,
                                const float* dy, const float* x, float* dscale);

  // Pooling and resizing, of the rows [first, last) of the batch * height rows of the result; every
  // pointer is that of the whole tensor.
  void (*average_pool)(const tt_pool_shape*, int64_t first, int64_t last, const float* x, float* y);
  // With `accumulate` it is added to dx.
  void (*average_pool_grad)(const tt_pool_shape*, int64_t first, int64_t last, const float* dy,
                            int32_t accumulate, float* dx);
  void (*max_pool)(const tt_pool_shape*, int64_t first, int64_t last, const float* x, float* y);
  // The number within its window, in rows of kernel_w, of the first place that holds the maximum:
  // int8_t, or int32_t where `wide`, which windows of more than 128 places need.
  void (*max_pool_argmax)(const tt_pool_shape*, int64_t first, int64_t last, const float* x,
                          int32_t wide, void* argmax);
  // dy goes to the place that argmax names.
  void (*max_pool_grad)(const tt_pool_shape*, int64_t first, int64_t last, const float* dy,
                        const void* argmax, int32_t wide, float* dx);
  void (*resize)(const tt_resize_shape*, int64_t first, int64_t last, const float* x, float* y);
  void (*resize_grad)(const tt_resize_shape*, int64_t first, int64_t last, const float* dy,
                      float* dx);

  // Layers of 8-bit integers (tt_requantize): x and y NHWC, weights as those of the f32 layers.
  // Padding stands for 0, which is x_zero.
  void (*conv2d_q8)(const tt_conv2d_shape*, const tt_requantize*, const int8_t* x, const int8_t* w,
                    int8_t* y);
  void (*depthwise_q8)(const tt_conv2d_shape*, const tt_requantize*, const int8_t* x,
                       const int8_t* w, int8_t* y);
  // y[channels]: factor times the sum over all positions.
  void (*mean_q8)(const tt_requantize*, const int8_t* x, int64_t positions, int32_t channels,
                  int8_t* y);
  void (*add_q8)(const tt_add_scales*, const int8_t* a, const int8_t* b, int64_t n, int8_t* y);
  // y = zero + round(x / scale), limited to [-128, 127]; and back: y = (x - zero) scale.
  void (*quantize_q8)(const float* x, int64_t n, float scale, int32_t zero, int8_t* y);
  void (*dequantize_q8)(const int8_t* x, int64_t n, float scale, int32_t zero, float* y);
  // Rows of 8 bits with a scale each: x = code scale. A row's scale is the largest |x| over 127,
  // and a code the nearest whole number to x over it, ties to even. A row whose largest |x| is
  // below 2^-110 becomes 0; of one with an infinity or a NaN, every element becomes NaN.
  void (*encode_rows)(const float* x, int64_t rows, int64_t columns, int8_t* codes, float* scale);
  // Rows of codes are `step` elements apart, those of x follow each other.
  void (*decode_rows)(const int8_t* codes, const float* scale, int64_t rows, int64_t columns,
                      int64_t step, float* x);
  // Bit i of mask: low < y[i] && y[i] < high. Unused bits of the last byte are 0.
  void (*mask_q8)(const int8_t* y, int64_t n, int32_t low, int32_t high, uint8_t* mask);

  // SGD with momentum as PyTorch defines it, gradient g scaled first:
  //   d = g * grad_scale + weight_decay * p;  v = momentum * v + d;
  //   d = nesterov ? d + momentum * v : v;  p -= rate * d.
  // v is null when momentum is 0 (then d is used directly).
  void (*sgd)(float* p, const float* g, float* v, int64_t n, float rate, float grad_scale,
              float momentum, int32_t nesterov, float weight_decay);
  // Adam (Kingma & Ba 2015) as PyTorch computes it. correction1 = 1 - beta1^t, correction2 = 1 -
  // beta2^t.
  //   d = g * grad_scale;  decoupled ? p -= rate * weight_decay * p : d += weight_decay * p
  //   m = beta1 m + (1 - beta1) d;  v = beta2 v + (1 - beta2) d^2
  //   p -= (rate / correction1) * m / (sqrt(v) / sqrt(correction2) + epsilon)
  void (*adam)(float* p, const float* g, float* m, float* v, int64_t n, float rate,
               float grad_scale, float beta1, float beta2, float epsilon, float correction1,
               float correction2, int32_t decoupled, float weight_decay);
  // The same with m and the root of v in 8 bits, in blocks of TT_ADAM8_BLOCK with a scale each
  // (Dettmers et al., ICLR 2022): m has a sign, 4 bits of exponent and 3 of mantissa, the root 4
  // and 4, relative to the power of two below the largest of the block. p moves by the averages
  // before they are rounded. They are rounded up or down at random, so that small changes add up:
  // by a hash of the number of the element (`first` is that of p[0]), the bits of its gradient and
  // the corrections. `first` is a multiple of TT_ADAM8_BLOCK.
  void (*adam8)(float* p, const float* g, uint8_t* m, uint8_t* v, float* m_scale, float* v_scale,
                int64_t first, int64_t n, const tt_adam_step* step);
  // SGD on the integers p of weights w = scale[c] p, g the gradient of w: that of p is scale[c] g.
  // With qas it is divided by scale[c]^2, so that w moves as it would in floats (Lin et al.,
  // MCUNetV3, NeurIPS 2022).
  //   p = round(p - rate grad_scale g (qas ? 1 / scale[c] : scale[c])), limited to [-127, 127]
  // Where scale[c] is 0, p stays. Rounding at random is by a hash of the element's number (`first`
  // is that of p[0]) and the bits of its gradient.
  void (*sgd_q8)(int8_t* p, const float* g, const float* scale, int64_t rows, int64_t columns,
                 int64_t first, const tt_integer_step* step);
  // The same for biases b = scale[i] factor p, limited to what an int32 holds.
  void (*sgd_i32)(int32_t* p, const float* g, const float* scale, float factor, int64_t n,
                  const tt_integer_step* step);
} tt_kernels;

// Plain C loops: the reference, and what runs on microcontrollers.
extern const tt_kernels tt_portable_kernels;

// The fastest set this processor can run, chosen once. Falls back to the portable set.
const tt_kernels* tt_best_kernels(void);

#ifdef __cplusplus
}
#endif

#endif  // TINYTL_ENGINE_KERNELS_KERNELS_H_
