/* SPDX-License-Identifier: MIT */
/*
 * The state file: a header that identifies the run, then a checksummed record per finished
 * weight. A record cut short by a crash is dropped and computed again.
 */
#include "pass/state.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/file.h"
#include "base/record.h"
#include "onnx/extdata.h"
#include "onnx/walk.h"
#include "pass/activations.h"
#include "pass/edge.h"

#define FRAME ((size_t)16) /* before each record: its length and its checksum */

static struct lbw_header header_of(uint64_t run)
{
    return (struct lbw_header){"LBWSTATE", 3, run};
}

struct lbw_state {
    char *path;
    FILE *file;             /* for appending */
    unsigned char *records; /* complete ones of an earlier run */
    size_t size;            /* of records */
    size_t at;              /* the next record, as weights come in the same order again */
};

/* A sink that protobuf-c writes to. */
struct hasher {
    ProtobufCBuffer base;
    uint64_t hash;
};

static void hash_append(ProtobufCBuffer *buffer, size_t size, const uint8_t *data)
{
    struct hasher *hasher = (struct hasher *)buffer;
    hasher->hash = lbw_hash(hasher->hash, data, size);
}

/* External values, which the tree only refers to. */
struct external_hasher {
    struct lbw_model *model;
    uint64_t hash;
};

static bool hash_external(ProtobufCMessage *message, void *user)
{
    struct external_hasher *hasher = user;
    const Onnx__TensorProto *proto = lbw_walk_tensor(message);
    struct lbw_tensor tensor;
    if (proto && lbw_tensor_is_external(proto) &&
        lbw_tensor_view(&tensor, hasher->model, proto, NULL) == LBW_OK && tensor.data)
        hasher->hash = lbw_hash(hasher->hash, tensor.data, tensor.size);
    return true;
}

static uint64_t hash_model(uint64_t h, struct lbw_model *model)
{
    struct hasher hasher = {{hash_append}, h};
    onnx__model_proto__pack_to_buffer(model->proto, &hasher.base);
    struct external_hasher external = {model, hasher.hash};
    lbw_walk(&model->proto->base, hash_external, &external);
    return external.hash;
}

/* Everything that results depend on: model, plan, calibration. */
static uint64_t fingerprint(const struct lbw_plan *plan,
                            const struct lbw_convert_params *params)
{
    uint64_t h = LBW_HASH_START;
    h = hash_model(h, plan->model);
    h = lbw_hash_text(h, lbw_method_name(plan->params.method));
    h = lbw_hash(h, &plan->params.mu, sizeof plan->params.mu);
    h = lbw_hash(h, &params->damping, sizeof params->damping);
    h = lbw_hash(h, &params->activations->identity, sizeof params->activations->identity);
    for (size_t i = 0; i < plan->num_weights; i++) {
        const struct lbw_plan_item *item = &plan->weights[i].item;
        h = lbw_hash_text(h, item->tensor);
        h = lbw_hash_text(h, item->grid ? item->grid->name : "");
        h = lbw_hash_text(h, lbw_scale_name(item->scale));
        h = lbw_hash_text(h, lbw_group_name(item->group));
    }
    for (size_t i = 0; i < plan->num_edges; i++) {
        const struct lbw_plan_edge *edge = &plan->edges[i].item;
        h = lbw_hash_text(h, edge->tensor);
        h = lbw_hash_text(h, lbw_activations_name(edge->type));
        h = lbw_hash_text(h, lbw_group_name(edge->group));
        h = lbw_hash(h, &edge->low, sizeof edge->low);
        h = lbw_hash(h, &edge->high, sizeof edge->high);
    }
    if (plan->num_edges && plan->params.range_power > 0)
        h = lbw_hash(h, &plan->params.range_power, sizeof plan->params.range_power);
    return plan->num_edges
               ? lbw_hash_text(h, params->encode.target == LBW_TARGET_TENSORRT ? "s8" : "u8")
               : h;
}

/* The number of bytes of complete, undamaged records. */
static size_t whole_records(const unsigned char *data, size_t size)
{
    size_t at = 0;
    while (size - at >= FRAME) {
        uint64_t length = lbw_load_u64(data + at), sum = lbw_load_u64(data + at + 8);
        if (length > size - at - FRAME ||
            lbw_hash(LBW_HASH_START, data + at + FRAME, (size_t)length) != sum)
            break;
        at += FRAME + (size_t)length;
    }
    return at;
}

static enum lbw_status read_earlier(struct lbw_state *state, uint64_t run,
                                    struct lbw_error *err)
{
    struct lbw_bytes bytes = {0};
    const struct lbw_header header = header_of(run);
    bool is_same_run = false;
    enum lbw_status status;
    LBW_OR_OUT(lbw_bytes_read(&bytes, state->path, err));
    LBW_OR_OUT(lbw_within(err,
                          lbw_header_check(&is_same_run, &header, bytes.data, bytes.size, err),
                          "%s", state->path));
    if (!is_same_run && bytes.size < LBW_HEADER_SIZE)
        goto out; /* begun by a run that did not get further */
    if (!is_same_run)
        LBW_OR_OUT(lbw_fail(err, LBW_ERR_ARGUMENT,
                            "%s: belongs to another model, plan or calibration", state->path));
    const unsigned char *data = bytes.data + LBW_HEADER_SIZE;
    state->size = whole_records(data, bytes.size - LBW_HEADER_SIZE);
    state->records = malloc(state->size + 1);
    if (!state->records)
        LBW_OR_OUT(lbw_fail_memory(err));
    memcpy(state->records, data, state->size);
out:
    lbw_bytes_release(&bytes);
    return status;
}

/* Opens the file exclusively: the records of two runs would mix. */
static enum lbw_status open_file(struct lbw_state *state, struct lbw_error *err)
{
    struct stat st;
    if (stat(state->path, &st) == 0 && !S_ISREG(st.st_mode)) /* a device may have no end */
        return lbw_fail(err, LBW_ERR_IO, "%s: cannot hold state: not a regular file",
                        state->path);
    int fd = open(state->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    state->file = fd < 0 ? NULL : fdopen(fd, "ab");
    if (!state->file) {
        lbw_fail_errno(err, "%s: cannot write", state->path);
        if (fd >= 0)
            close(fd);
        return LBW_ERR_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return lbw_fail(err, LBW_ERR_IO, "%s: in use by another run", state->path);
    return LBW_OK;
}

/* Leaves in the file the complete records of this run, or only a header. */
static enum lbw_status begin_file(struct lbw_state *state, uint64_t run, struct lbw_error *err)
{
    size_t keep = state->records ? LBW_HEADER_SIZE + state->size : 0;
    if (ftruncate(fileno(state->file), (off_t)keep) != 0)
        return lbw_fail_errno(err, "%s: cannot write", state->path);
    const struct lbw_header head = header_of(run);
    unsigned char header[LBW_HEADER_SIZE];
    lbw_header_put(header, &head);
    if (!state->records &&
        (fwrite(header, sizeof header, 1, state->file) != 1 || fflush(state->file) != 0))
        return lbw_fail_errno(err, "%s: cannot write", state->path);
    return LBW_OK;
}

enum lbw_status lbw_state_open(struct lbw_state **out, const struct lbw_plan *plan,
                               const struct lbw_convert_params *params, struct lbw_error *err)
{
    if (!params->state || !params->activations)
        return LBW_OK;
    struct lbw_state *state = calloc(1, sizeof *state);
    if (!state)
        return lbw_fail_memory(err);
    state->path = strdup(params->state);
    uint64_t run = fingerprint(plan, params);
    enum lbw_status status;
    LBW_OR_OUT(state->path ? open_file(state, err) : lbw_fail_memory(err));
    LBW_OR_OUT(read_earlier(state, run, err));
    LBW_OR_OUT(begin_file(state, run, err));
out:
    if (status == LBW_OK)
        *out = state;
    else
        lbw_state_close(&state);
    return status;
}

void lbw_state_close(struct lbw_state **state)
{
    if (!*state)
        return;
    if ((*state)->file)
        fclose((*state)->file);
    free((*state)->records);
    free((*state)->path);
    free(*state);
    *state = NULL;
}

/* Corrected biases, or none; allocates what it reads. */
static enum lbw_status carry_biases(struct lbw_record *record, struct lbw_codes *codes,
                                    const struct lbw_weight *weight, struct lbw_error *err)
{
    size_t rows = weight->layout.groups * weight->layout.rows;
    if (record->is_read && !lbw_codes_alloc_biases(codes, weight))
        return lbw_fail_memory(err);
    for (size_t i = 0; i < weight->num_consumers; i++) {
        bool has_bias = i < codes->num_biases && codes->biases[i];
        lbw_record_bool(record, &has_bias);
        if (!has_bias || record->failed)
            continue;
        if (record->is_read && !(codes->biases[i] = malloc(rows * sizeof(float))))
            return lbw_fail_memory(err);
        lbw_record_floats(record, codes->biases[i], rows, -FLT_MAX, FLT_MAX);
    }
    return LBW_OK;
}

/*
 * The record of one weight, read or written: the weight, how it was rounded, codes, steps,
 * biases (docs/format.md).
 */
static enum lbw_status carry(struct lbw_record *record, struct lbw_codes *codes,
                             struct lbw_layer_stats *stats, uint64_t *seed,
                             const struct lbw_weight *weight, struct lbw_error *err)
{
    lbw_record_same_text(record, weight->item.tensor);
    lbw_record_same_text(record, weight->item.grid->name);
    lbw_record_same(record, weight->item.count);
    lbw_record_same(record, codes->num_steps);
    lbw_record_u64(record, seed, UINT64_MAX);
    lbw_record_bool(record, &stats->is_reconstructed);
    lbw_record_real(record, &stats->energy, 0, INFINITY);
    lbw_record_real(record, &stats->error_before, 0, INFINITY);
    lbw_record_real(record, &stats->error_after, 0, INFINITY);
    lbw_record_codes(record, (uint8_t *)stats->why, sizeof stats->why, 256);
    stats->why[sizeof stats->why - 1] = '\0';
    lbw_record_codes(record, codes->codes, weight->item.count, weight->item.grid->num_levels);
    lbw_record_floats(record, codes->steps, codes->num_steps, FLT_TRUE_MIN, FLT_MAX);
    return carry_biases(record, codes, weight, err);
}

static enum lbw_status restore(struct lbw_record *record, struct lbw_codes *codes,
                               struct lbw_layer_stats *stats, struct lbw_calibrator *calibrator,
                               const struct lbw_weight *weight, struct lbw_error *err)
{
    LBW_TRY(carry(record, codes, stats, &calibrator->seed, weight, err));
    if (!lbw_record_is_whole(record))
        return lbw_fail(err, LBW_ERR_FORMAT, "the saved state of weight '%s' is corrupt",
                        weight->item.tensor);
    return lbw_weight_show(calibrator, weight, codes, err);
}

enum lbw_status lbw_state_restore(bool *found, struct lbw_state *state, struct lbw_codes *codes,
                                  struct lbw_layer_stats *stats,
                                  struct lbw_calibrator *calibrator,
                                  const struct lbw_weight *weight, struct lbw_error *err)
{
    *found = false;
    if (!state || state->at >= state->size)
        return LBW_OK;
    size_t length = (size_t)lbw_load_u64(state->records + state->at);
    struct lbw_record record = {
        .data = state->records + state->at + FRAME, .size = length, .is_read = true};
    state->at += FRAME + length;
    *found = true;
    return lbw_within(err, restore(&record, codes, stats, calibrator, weight, err), "%s",
                      state->path);
}

enum lbw_status lbw_state_append(struct lbw_state *state, const struct lbw_codes *codes,
                                 const struct lbw_layer_stats *stats,
                                 const struct lbw_calibrator *calibrator,
                                 const struct lbw_weight *weight, struct lbw_error *err)
{
    if (!state)
        return LBW_OK;
    struct lbw_record record = {0};
    struct lbw_codes written = *codes; /* which carry() only reads */
    struct lbw_layer_stats of_layer = *stats;
    uint64_t seed = calibrator->seed;
    unsigned char frame[FRAME] = {0};
    lbw_record_codes(&record, frame, FRAME, 1);
    enum lbw_status status;
    LBW_OR_OUT(carry(&record, &written, &of_layer, &seed, weight, err));
    if (record.failed)
        LBW_OR_OUT(lbw_fail_memory(err));
    size_t length = record.at - FRAME;
    lbw_store_le(record.data, length, 8);
    lbw_store_le(record.data + 8, lbw_hash(LBW_HASH_START, record.data + FRAME, length), 8);
    if (fwrite(record.data, record.at, 1, state->file) != 1 || fflush(state->file) != 0 ||
        fdatasync(fileno(state->file)) != 0)
        LBW_OR_OUT(lbw_fail_errno(err, "%s: cannot write", state->path));
out:
    free(record.data);
    return status;
}
