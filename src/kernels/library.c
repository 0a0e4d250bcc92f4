/* SPDX-License-Identifier: MIT */
/* liblbw_ort.so: hands the operators of `ai.lbw` to ONNX Runtime. Exports RegisterCustomOps. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "kernels/op.h"

#define DOMAIN          "ai.lbw"
#define GRADIENT_DOMAIN "ai.lbw.gradient" /* what src/grad writes */

struct ort_status *RegisterCustomOps(struct ort_session_options *options,
                                     const struct ort_api_base *base);

#define ORT_SLOT(slot, result, name, parameters) {slot, offsetof(struct lbw_op_runtime, name)},
static const struct slot {
    unsigned slot;
    size_t offset;
} slots[] = {ORT_KERNEL_CALLS(ORT_SLOT)};
#undef ORT_SLOT

static const struct lbw_op *op_of(const struct ort_operator *op)
{
    return (const struct lbw_op *)(const void *)op;
}

static const char *name_of(const struct ort_operator *op)
{
    return op_of(op)->name;
}

static const char *provider(const struct ort_operator *op)
{
    (void)op;
    return NULL; /* the processor */
}

static int input_type(const struct ort_operator *op, size_t i)
{
    return op_of(op)->input_types[i];
}

static size_t num_inputs(const struct ort_operator *op)
{
    return op_of(op)->num_inputs;
}

static int output_type(const struct ort_operator *op, size_t i)
{
    (void)i;
    return op_of(op)->output_type;
}

static size_t num_outputs(const struct ort_operator *op)
{
    return op_of(op)->num_outputs;
}

static int is_required(const struct ort_operator *op, size_t i)
{
    (void)op, (void)i;
    return ORT_REQUIRED;
}

static int memory(const struct ort_operator *op, size_t i)
{
    (void)op, (void)i;
    return ORT_MEMORY_DEFAULT;
}

static int first_version(const struct ort_operator *op)
{
    (void)op;
    return 1;
}

/* What the runtime holds: the kernel, and the operator for its functions and its name. */
struct node {
    const struct lbw_op *op;
    void *kernel;
};

static struct ort_status *fail(const struct lbw_op *op, const struct lbw_error *err)
{
    char message[sizeof err->message + 64];
    snprintf(message, sizeof message, DOMAIN ".%s: %s", op->name, err->message);
    return lbw_ort.create_status(
        err->status == LBW_ERR_ARGUMENT ? ORT_INVALID_ARGUMENT : ORT_FAIL, message);
}

/*
 * What the runtime folds at load, the decoding of all weights above all, is freed before
 * kernels are made, but stays with the allocator: several times what the session needs. The
 * first run after that returns it to the system.
 */
static atomic_bool is_loading;

static void return_memory(void)
{
#ifdef __GLIBC__
    if (atomic_load_explicit(&is_loading, memory_order_relaxed) &&
        atomic_exchange(&is_loading, false))
        malloc_trim(0);
#endif
}

static struct ort_status *create(const struct ort_operator *base, const void *api,
                                 const struct ort_kernel_info *info, void **kernel)
{
    (void)api;
    const struct lbw_op *op = op_of(base);
    struct lbw_error err = {0};
    struct node *node = calloc(1, sizeof *node);
    if (node)
        node->op = op;
    enum lbw_status status =
        node ? op->create(&node->kernel, op, info, &err) : lbw_fail_memory(&err);
    if (status != LBW_OK) {
        free(node);
        return fail(op, &err);
    }
    *kernel = node;
    atomic_store(&is_loading, true);
    return NULL;
}

static struct ort_status *compute(void *kernel, struct ort_kernel_context *context)
{
    struct node *node = kernel;
    struct lbw_error err = {0};
    return_memory();
    if (node->op->compute(node->kernel, context, &err) != LBW_OK)
        return fail(node->op, &err);
    return NULL;
}

static void destroy(void *kernel)
{
    struct node *node = kernel;
    node->op->destroy(node->kernel);
    free(node);
}

static const struct ort_operator template = {
    .version = ORT_KERNEL_API_VERSION,
    .name = name_of,
    .provider = provider,
    .input_type = input_type,
    .num_inputs = num_inputs,
    .output_type = output_type,
    .num_outputs = num_outputs,
    .destroy = destroy,
    .input_kind = is_required,
    .output_kind = is_required,
    .input_memory = memory,
    .create_v2 = create,
    .compute_v2 = compute,
    .first_version = first_version,
};

static struct ort_status *add_ops(struct ort_domain *domain, struct lbw_op *ops, size_t num)
{
    struct ort_status *status = NULL;
    for (size_t i = 0; i < num && !status; i++) {
        ops[i].base = template;
        status = lbw_ort.add_operator(domain, &ops[i].base);
    }
    return status;
}

/* Which operators belong to which domain. */
static const struct family {
    const char *domain;
    struct lbw_op *ops;
    const size_t *num;
} families[] = {
    {DOMAIN, lbw_conv_ops, &lbw_num_conv_ops},
    {DOMAIN, lbw_conv_float_ops, &lbw_num_conv_float_ops},
    {DOMAIN, lbw_concat_ops, &lbw_num_concat_ops},
    {DOMAIN, lbw_channels_ops, &lbw_num_channels_ops},
    {DOMAIN, lbw_pool_ops, &lbw_num_pool_ops},
    {DOMAIN, lbw_average_ops, &lbw_num_average_ops},
    {DOMAIN, lbw_focus_ops, &lbw_num_focus_ops},
    {DOMAIN, lbw_softmax_ops, &lbw_num_softmax_ops},
    {DOMAIN, lbw_head_ops, &lbw_num_head_ops},
    {DOMAIN, lbw_resize_ops, &lbw_num_resize_ops},
    {GRADIENT_DOMAIN, lbw_gradient_ops, &lbw_num_gradient_ops},
};

static struct ort_status *make_domain(struct ort_domain **out, const char *name)
{
    struct ort_domain *domain = NULL;
    struct ort_status *status = lbw_ort.create_domain(name, &domain);
    for (size_t i = 0; i < sizeof families / sizeof *families && !status; i++)
        if (strcmp(families[i].domain, name) == 0)
            status = add_ops(domain, families[i].ops, *families[i].num);
    if (!status)
        *out = domain;
    else if (domain)
        lbw_ort.release_domain(domain);
    return status;
}

/* Domains live as long as the process: any session may hold them. */
static const char *const domain_names[] = {DOMAIN, GRADIENT_DOMAIN};
#define NUM_DOMAINS (sizeof domain_names / sizeof *domain_names)

static struct ort_status *make_domains(struct ort_domain *domains[NUM_DOMAINS], const void *api)
{
    struct ort_status *status = NULL;
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        memcpy((char *)&lbw_ort + slots[i].offset,
               (const char *)api + slots[i].slot * sizeof(void (*)(void)),
               sizeof(void (*)(void)));
    for (size_t i = 0; i < NUM_DOMAINS && !status; i++)
        if (!domains[i])
            status = make_domain(&domains[i], domain_names[i]);
    return status;
}

/* The oldest interface has create_status(), to say that it is too old. */
static struct ort_status *refuse(const struct ort_api_base *base)
{
    const void *oldest = base->get_api(1);
    struct ort_status *(*create_status)(int code, const char *message);
    if (!oldest)
        return NULL;
    memcpy(&create_status, oldest, sizeof create_status);
    return create_status(ORT_FAIL, "liblbw_ort.so needs ONNX Runtime 1.17 or later");
}

__attribute__((visibility("default"))) struct ort_status *
RegisterCustomOps(struct ort_session_options *options, const struct ort_api_base *base)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct ort_domain *domains[NUM_DOMAINS];
    int major = 0, minor = 0;
    sscanf(base->version(), "%d.%d", &major, &minor);
    const void *api = major > 1 || minor >= ORT_KERNEL_API_VERSION
                          ? base->get_api(ORT_KERNEL_API_VERSION)
                          : NULL;
    if (!api)
        return refuse(base);
    pthread_mutex_lock(&lock);
    struct ort_status *status = domains[NUM_DOMAINS - 1] ? NULL : make_domains(domains, api);
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < NUM_DOMAINS && !status; i++)
        status = lbw_ort.add_domain(options, domains[i]);
    return status;
}
