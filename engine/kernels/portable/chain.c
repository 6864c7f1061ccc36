// Layers one behind the other, a row of the last one at a time.
#include <string.h>

#include "engine/kernels/portable/portable.h"

static int32_t within(int32_t v, int32_t low, int32_t high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

int32_t tt_chain_rows(const tt_conv2d_shape* s) {
  const int32_t reach = (s->kernel_h - 1) * s->dilation_h + 1;
  return reach < s->in_h ? reach : s->in_h;
}

// The row of x that is the first under the kernel, and perhaps in the padding, at row `row` of y.
static int32_t top_of(const tt_conv2d_shape* s, int32_t row) {
  return row * s->stride_h - s->pad_top;
}

// Leaves of the rows of x those from `first` on.
static void drop_before(tt_chain_layer* x, int32_t first) {
  const int32_t gone = first - x->first;
  if (gone >= x->count) {
    x->count = 0;
  } else if (gone > 0) {
    const size_t bytes = (size_t)x->shape.out_w * (size_t)x->shape.out_c;
    x->count -= gone;
    memmove(x->rows, x->rows + (size_t)gone * bytes, (size_t)x->count * bytes);
  }
  x->first = first;
}

// Row `next` of a layer, of rows of x from row `first` on.
static void compute_row(const tt_chain_layer* layer, const int8_t* x, int32_t first, int8_t* y) {
  tt_conv2d_shape s = layer->shape;
  s.batch = 1;
  s.in_h -= first;
  s.pad_top = first - top_of(&layer->shape, layer->next);
  s.out_h = 1;
  layer->run(&s, &layer->end, x, layer->w, y);
}

void tt_chain_rows_q8(tt_chain_layer* layers, int32_t n, const int8_t* x, int32_t from, int32_t to,
                      int8_t* y) {
  const tt_chain_layer* const last = layers + n - 1;
  const int64_t x_row = (int64_t)layers->shape.in_w * layers->shape.in_c;
  const int64_t y_row = (int64_t)last->shape.out_w * last->shape.out_c;
  for (int32_t i = 0; i < n; ++i) layers[i].first = layers[i].count = 0;
  for (int32_t row = from; row < to; ++row) {
    int32_t i = n - 1;
    layers[i].next = row;
    for (;;) {
      tt_chain_layer* const layer = layers + i;
      const tt_conv2d_shape* const s = &layer->shape;
      const int32_t top = top_of(s, layer->next), bottom = top + (s->kernel_h - 1) * s->dilation_h;
      const int32_t first = within(top, 0, s->in_h - 1);
      const int8_t* rows = x + first * x_row;
      if (i > 0) {
        tt_chain_layer* const before = layer - 1;
        drop_before(before, first);
        before->next = before->first + before->count;
        if (before->next <= within(bottom, 0, s->in_h - 1)) {
          --i;
          continue;
        }
        rows = before->rows;
      }
      if (i == n - 1) {
        compute_row(layer, rows, first, y + (row - from) * y_row);
        break;
      }
      const int64_t bytes = (int64_t)s->out_w * s->out_c;
      compute_row(layer, rows, first, layer->rows + layer->count * bytes);
      ++layer->count;
      ++i;
    }
  }
}
