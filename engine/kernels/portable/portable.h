// The portable kernels by name, for code that links single kernels (the microcontroller runtime)
// instead of the whole table. Contracts: kernels.h.
//
// Every sum is taken in one fixed order, so a compiler that does not fuse or reassociate
// (-ffp-contract=off, no -ffast-math) gives the same bits on every machine.
#ifndef TINYTL_ENGINE_KERNELS_PORTABLE_PORTABLE_H_
#define TINYTL_ENGINE_KERNELS_PORTABLE_PORTABLE_H_

#include "engine/kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

// Rows of x that one row of y reads.
int32_t tt_chain_rows(const tt_conv2d_shape* s);
// Rows [from, to) of what the last of `n` layers makes of one image x, to y. Of what is between,
// only the rows exist that are still read; no row is computed twice.
void tt_chain_rows_q8(tt_chain_layer* layers, int32_t n, const int8_t* x, int32_t from, int32_t to,
                      int8_t* y);

void tt_gemm_f32(const tt_gemm* g, void* scratch);

void tt_conv2d_f32(const tt_conv2d_shape* s, const float* x, const tt_weights* w,
                   const tt_epilogue* epilogue, float* y, void* scratch);
void tt_conv2d_grad_input_f32(const tt_conv2d_shape* s, const float* dy, const tt_weights* w,
                              const tt_epilogue* epilogue, float* dx, void* scratch);
void tt_conv2d_grad_weight_f32(const tt_conv2d_shape* s, const float* x, const float* dy,
                               float factor, int32_t accumulate, float* dw, void* scratch);

void tt_depthwise_f32(const tt_conv2d_shape* s, const float* x, const tt_weights* w,
                      const tt_epilogue* epilogue, float* y);
void tt_depthwise_grad_input_f32(const tt_conv2d_shape* s, const float* dy, const tt_weights* w,
                                 const tt_epilogue* epilogue, float* dx);
void tt_depthwise_grad_weight_f32(const tt_conv2d_shape* s, const float* x, const float* dy,
                                  float factor, int32_t accumulate, float* dw);

void tt_sum_rows_f32(const float* x, int64_t rows, int64_t cols, int64_t step, float* y);
void tt_clip_f32(const float* x, int64_t n, float low, float high, float* y);
void tt_clip_mask_f32(const float* y, int64_t n, float low, float high, uint8_t* mask);
void tt_mask_apply_f32(const float* dy, const uint8_t* mask, int64_t n, float* dx);
void tt_clip_grad_f32(const float* dy, const float* y, int64_t n, float low, float high, float* dx);
void tt_add_f32(const float* x, const float* y, int64_t n, float* z);
void tt_add_layer_f32(const float* x, const float* y, int64_t n, const tt_epilogue* epilogue,
                      float* z);
void tt_add_scaled_f32(const float* x, float factor, int64_t n, float* y);

void tt_map_f32(tt_function f, const float* x, int64_t n, float alpha, float beta, float* y);
void tt_map_grad_f32(tt_function f, const float* dy, const float* saved, int64_t n, float alpha,
                     float* dx);
void tt_mask_scale_f32(const float* x, const uint8_t* mask, int64_t n, float set, float clear,
                       float* y);
void tt_combine_f32(tt_arithmetic op, const tt_operand* x, const tt_operand* y, int64_t rows,
                    int64_t cols, float* z);

float tt_reduce_f32(tt_reduction kind, const float* x, int64_t n, float shift);
void tt_softmax_f32(const float* x, int64_t n, int64_t step, int32_t is_log, float* y);
void tt_softmax_grad_f32(const float* dy, const float* y, int64_t n, int64_t step, int32_t is_log,
                         float* dx);
void tt_layer_norm_f32(const float* x, int64_t rows, int64_t n, const float* scale,
                       const float* bias, float epsilon, float* y);
void tt_layer_norm_grad_input_f32(const float* dy, const float* x, int64_t rows, int64_t n,
                                  const float* scale, float epsilon, float* dx);
void tt_layer_norm_grad_scale_f32(const float* dy, const float* x, int64_t rows, int64_t n,
                                  float epsilon, float* dscale);

void tt_group_norm_f32(const tt_group_norm* s, int64_t first, int64_t last, const float* x,
                       const float* scale, const float* bias, float* moments, float* y);
void tt_group_norm_grad_input_f32(const tt_group_norm* s, int64_t first, int64_t last,
                                  const float* dy, const float* x, const float* scale, float* dx);
void tt_group_norm_grad_scale_f32(const tt_group_norm* s, int64_t samples, int64_t first,
                                  int64_t last, const float* dy, const float* x, float* dscale);

void tt_average_pool_f32(const tt_pool_shape* s, int64_t first, int64_t last, const float* x,
                         float* y);
void tt_average_pool_grad_f32(const tt_pool_shape* s, int64_t first, int64_t last, const float* dy,
                              int32_t accumulate, float* dx);
void tt_max_pool_f32(const tt_pool_shape* s, int64_t first, int64_t last, const float* x, float* y);
void tt_max_pool_argmax_f32(const tt_pool_shape* s, int64_t first, int64_t last, const float* x,
                            int32_t wide, void* argmax);
void tt_max_pool_grad_f32(const tt_pool_shape* s, int64_t first, int64_t last, const float* dy,
                          const void* argmax, int32_t wide, float* dx);
void tt_resize_f32(const tt_resize_shape* s, int64_t first, int64_t last, const float* x, float* y);
void tt_resize_grad_f32(const tt_resize_shape* s, int64_t first, int64_t last, const float* dy,
                        float* dx);

void tt_conv2d_q8(const tt_conv2d_shape* s, const tt_requantize* q, const int8_t* x,
                  const int8_t* w, int8_t* y);
void tt_depthwise_q8(const tt_conv2d_shape* s, const tt_requantize* q, const int8_t* x,
                     const int8_t* w, int8_t* y);
void tt_mean_q8(const tt_requantize* q, const int8_t* x, int64_t positions, int32_t channels,
                int8_t* y);
void tt_add_q8(const tt_add_scales* q, const int8_t* a, const int8_t* b, int64_t n, int8_t* y);
void tt_quantize_q8(const float* x, int64_t n, float scale, int32_t zero, int8_t* y);
void tt_dequantize_q8(const int8_t* x, int64_t n, float scale, int32_t zero, float* y);
void tt_encode_rows(const float* x, int64_t rows, int64_t columns, int8_t* codes, float* scale);
void tt_decode_rows(const int8_t* codes, const float* scale, int64_t rows, int64_t columns,
                    int64_t step, float* x);
void tt_mask_q8(const int8_t* y, int64_t n, int32_t low, int32_t high, uint8_t* mask);

void tt_sgd_f32(float* p, const float* g, float* v, int64_t n, float rate, float grad_scale,
                float momentum, int32_t nesterov, float weight_decay);
void tt_adam_f32(float* p, const float* g, float* m, float* v, int64_t n, float rate,
                 float grad_scale, float beta1, float beta2, float epsilon, float correction1,
                 float correction2, int32_t decoupled, float weight_decay);
void tt_adam8_f32(float* p, const float* g, uint8_t* m, uint8_t* v, float* m_scale, float* v_scale,
                  int64_t first, int64_t n, const tt_adam_step* s);
void tt_sgd_q8(int8_t* p, const float* g, const float* scale, int64_t rows, int64_t columns,
               int64_t first, const tt_integer_step* s);
void tt_sgd_i32(int32_t* p, const float* g, const float* scale, float factor, int64_t n,
                const tt_integer_step* s);

#ifdef __cplusplus
}
#endif

#endif  // TINYTL_ENGINE_KERNELS_PORTABLE_PORTABLE_H_
