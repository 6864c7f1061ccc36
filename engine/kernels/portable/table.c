#include "engine/kernels/portable/portable.h"

static size_t no_gemm_scratch(const tt_gemm* g) {
  (void)g;
  return 0;
}

static size_t no_layer_scratch(const tt_conv2d_shape* s, int32_t is_q8) {
  (void)s;
  (void)is_q8;
  return 0;
}

static size_t no_weight_scratch(const tt_conv2d_shape* s) {
  (void)s;
  return 0;
}

const tt_kernels tt_portable_kernels = {
    .name = "portable",
    .gemm_scratch_bytes = no_gemm_scratch,
    .gemm = tt_gemm_f32,
    .conv2d_scratch_bytes = no_layer_scratch,
    .conv2d = tt_conv2d_f32,
    .conv2d_grad_input_scratch_bytes = no_layer_scratch,
    .conv2d_grad_input = tt_conv2d_grad_input_f32,
    .conv2d_grad_weight_scratch_bytes = no_weight_scratch,
    .conv2d_grad_weight = tt_conv2d_grad_weight_f32,
    .depthwise = tt_depthwise_f32,
    .depthwise_grad_input = tt_depthwise_grad_input_f32,
    .depthwise_grad_weight = tt_depthwise_grad_weight_f32,
    .sum_rows = tt_sum_rows_f32,
    .clip = tt_clip_f32,
    .clip_mask = tt_clip_mask_f32,
    .mask_apply = tt_mask_apply_f32,
    .clip_grad = tt_clip_grad_f32,
    .add = tt_add_f32,
    .add_layer = tt_add_layer_f32,
    .add_scaled = tt_add_scaled_f32,
    .map = tt_map_f32,
    .map_grad = tt_map_grad_f32,
    .mask_scale = tt_mask_scale_f32,
    .combine = tt_combine_f32,
    .reduce = tt_reduce_f32,
    .softmax = tt_softmax_f32,
    .softmax_grad = tt_softmax_grad_f32,
    .layer_norm = tt_layer_norm_f32,
    .layer_norm_grad_input = tt_layer_norm_grad_input_f32,
    .layer_norm_grad_scale = tt_layer_norm_grad_scale_f32,
    .group_norm = tt_group_norm_f32,
    .group_norm_grad_input = tt_group_norm_grad_input_f32,
    .group_norm_grad_scale = tt_group_norm_grad_scale_f32,
    .average_pool = tt_average_pool_f32,
    .average_pool_grad = tt_average_pool_grad_f32,
    .max_pool = tt_max_pool_f32,
    .max_pool_argmax = tt_max_pool_argmax_f32,
    .max_pool_grad = tt_max_pool_grad_f32,
    .resize = tt_resize_f32,
    .resize_grad = tt_resize_grad_f32,
    .conv2d_q8 = tt_conv2d_q8,
    .depthwise_q8 = tt_depthwise_q8,
    .mean_q8 = tt_mean_q8,
    .add_q8 = tt_add_q8,
    .quantize_q8 = tt_quantize_q8,
    .dequantize_q8 = tt_dequantize_q8,
    .encode_rows = tt_encode_rows,
    .decode_rows = tt_decode_rows,
    .mask_q8 = tt_mask_q8,
    .sgd = tt_sgd_f32,
    .adam = tt_adam_f32,
    .adam8 = tt_adam8_f32,
    .sgd_q8 = tt_sgd_q8,
    .sgd_i32 = tt_sgd_i32,
};
