/* SPDX-License-Identifier: MIT */
/* The versions of operator sets that a model imports: one each, or none. */
#include "onnx/import.h"

#include <string.h>

#include "onnx/index.h"
#include "onnx/walk.h"

static const char *text(const char *s)
{
    return s ? s : "";
}

static bool is_alias(const Onnx__OperatorSetIdProto *import)
{
    return strcmp(text(import->domain), "ai.onnx") == 0;
}

bool lbw_domain_is_standard(const char *domain)
{
    return !*text(domain) || strcmp(domain, "ai.onnx") == 0;
}

static bool is_same_domain(const Onnx__OperatorSetIdProto *a, const Onnx__OperatorSetIdProto *b)
{
    if (lbw_domain_is_standard(a->domain))
        return lbw_domain_is_standard(b->domain);
    return strcmp(text(a->domain), text(b->domain)) == 0;
}

/* Whether a later entry for the domain replaces entry i. */
static bool is_overruled(Onnx__OperatorSetIdProto *const *list, size_t num, size_t i,
                         bool is_function)
{
    for (size_t k = 0; k < num; k++) {
        if (k == i || !is_same_domain(list[i], list[k]))
            continue;
        /* in a function, the name "" takes precedence */
        bool differ = is_function && is_alias(list[i]) != is_alias(list[k]);
        if (differ ? is_alias(list[i]) : k > i)
            return true;
    }
    return false;
}

/* From the end, so that an entry that replaces another is still there when the other is met. */
static void merge(Onnx__OperatorSetIdProto **list, size_t *num, bool is_function)
{
    for (size_t i = *num; i-- > 0;)
        if (is_overruled(list, *num, i, is_function)) {
            memmove(list + i, list + i + 1, (*num - i - 1) * sizeof *list);
            --*num;
        }
}

void lbw_imports_merge(Onnx__ModelProto *proto)
{
    merge(proto->opset_import, &proto->n_opset_import, false);
    for (size_t i = 0; i < proto->n_functions; i++)
        merge(proto->functions[i]->opset_import, &proto->functions[i]->n_opset_import, true);
}

static bool has_import(Onnx__OperatorSetIdProto *const *list, size_t num)
{
    for (size_t i = 0; i < num; i++)
        if (lbw_domain_is_standard(list[i]->domain))
            return true;
    return false;
}

static bool is_no_standard_node(ProtobufCMessage *message, void *user)
{
    (void)user;
    return message->descriptor != &onnx__node_proto__descriptor ||
           !lbw_domain_is_standard(((Onnx__NodeProto *)(void *)message)->domain);
}

enum lbw_status lbw_model_check_imports(const struct lbw_model *model, struct lbw_error *err)
{
    Onnx__ModelProto *proto = model->proto;
    if (!has_import(proto->opset_import, proto->n_opset_import) &&
        !lbw_walk(&proto->graph->base, is_no_standard_node, NULL))
        return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                        "the model does not import the default operator set, so the version of "
                        "its operators is not known: add it to opset_import");
    if (has_import(proto->opset_import, proto->n_opset_import) &&
        lbw_model_opset(model, "") < 1)
        return lbw_fail(
            err, LBW_ERR_UNSUPPORTED,
            "the model imports version %lld of the default operator set, which does "
            "not exist",
            (long long)lbw_model_opset(model, ""));
    for (size_t i = 0; i < proto->n_functions; i++) {
        Onnx__FunctionProto *f = proto->functions[i];
        if (!has_import(f->opset_import, f->n_opset_import) &&
            !lbw_walk(&f->base, is_no_standard_node, NULL))
            return lbw_fail(err, LBW_ERR_UNSUPPORTED,
                            "function '%s' does not import the default operator set, so the "
                            "version of its operators is not known: add it to opset_import",
                            text(f->name));
    }
    return LBW_OK;
}
