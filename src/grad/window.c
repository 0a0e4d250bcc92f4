/* SPDX-License-Identifier: MIT */
/* Attributes of sliding operators, with automatic padding resolved from known sizes. */
#include "grad/window.h"

#include <string.h>

/* One list attribute over the spatial axes; `otherwise` if it is left out. */
static bool read_list(int64_t *out, const Onnx__NodeProto *node, const char *name, size_t num,
                      int64_t otherwise)
{
    const Onnx__AttributeProto *attribute = lbw_node_attribute(node, name);
    if (attribute && attribute->n_ints && attribute->n_ints != num)
        return false;
    for (size_t i = 0; i < num; i++)
        out[i] = attribute && attribute->n_ints ? attribute->ints[i] : otherwise;
    return true;
}

static bool says(const Onnx__NodeProto *node, const char *name, const char *value)
{
    const Onnx__AttributeProto *attribute = lbw_node_attribute(node, name);
    return attribute && attribute->s.len == strlen(value) &&
           memcmp(attribute->s.data, value, attribute->s.len) == 0;
}

bool lbw_window_of(struct lbw_window *out, const Onnx__NodeProto *node,
                   const struct lbw_grad_shape *large, const struct lbw_grad_shape *small,
                   const int64_t *kernel)
{
    struct lbw_window w = {.num = large->num_dims - 2};
    int64_t pads[2 * LBW_GRAD_MAX_SPATIAL];
    bool is_upper = says(node, "auto_pad", "SAME_UPPER");
    bool is_same = is_upper || says(node, "auto_pad", "SAME_LOWER");
    if (large->num_dims < 3 || small->num_dims != large->num_dims ||
        !read_list(w.kernel, node, "kernel_shape", w.num, 1) ||
        !read_list(w.stride, node, "strides", w.num, 1) ||
        !read_list(w.dilation, node, "dilations", w.num, 1) ||
        !read_list(pads, node, "pads", 2 * w.num, 0))
        return false;
    for (size_t i = 0; i < w.num; i++) {
        w.kernel[i] = kernel ? kernel[i] : w.kernel[i];
        w.in[i] = large->dims[2 + i];
        w.out[i] = small->dims[2 + i];
        if (w.kernel[i] < 1 || w.stride[i] < 1 || w.dilation[i] < 1 || w.in[i] < 1 ||
            w.out[i] < 1)
            return false;
        int64_t extent = (w.out[i] - 1) * w.stride[i] + (w.kernel[i] - 1) * w.dilation[i] + 1;
        int64_t total = extent > w.in[i] ? extent - w.in[i] : 0;
        if (is_same)
            pads[i] = is_upper ? total / 2 : total - total / 2;
        w.begin[i] = pads[i];
        w.end[i] = extent - w.in[i] - w.begin[i];
        w.given_end[i] = is_same ? total - pads[i] : pads[w.num + i];
        if (w.begin[i] < 0)
            return false;
    }
    *out = w;
    return true;
}
