/* SPDX-License-Identifier: MIT */
/* The state file: what was interrupted goes on where it stopped, to the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "../activations.h"
#include "../graph.h"
#include "../plan.h"
#include "base/bits.h"
#include "base/file.h"
#include "base/record.h"
#include <lbw/convert.h>

#include "pass/plan.h"

#define NUM_LAYERS 4

static char path[300]; /* of the state */

static struct text make_model(float bias)
{
    struct text graph = {0};
    static const char *const inputs[NUM_LAYERS] = {"x w0 b0", "y0 w1 b1", "y1 w2 b2",
                                                   "y2 w3 b3"};
    static const char *const outputs[NUM_LAYERS] = {"y0", "y1", "y2", "y3"};
    static const char *const weights[NUM_LAYERS] = {"w0", "w1", "w2", "w3"};
    static const char *const biases[NUM_LAYERS] = {"b0", "b1", "b2", "b3"};
    for (int i = 0; i < NUM_LAYERS; i++) {
        put_op(&graph, "Conv", inputs[i], outputs[i], NULL);
        put_weight(&graph, weights[i], 16, 16, 1);
        put_vector(&graph, biases[i], 16, bias, 0.5f);
    }
    return finish_model(&graph, 8, 17);
}

/* ---- activations that depend on all that was replaced so far, in its order ---- */

static struct {
    uint64_t replaced;
    size_t num_shown;
} seen;

static enum lbw_status show(struct lbw_activations *self, const char *name,
                            lbw_activation_fn fn, void *user, struct lbw_error *err)
{
    static const int64_t dims[] = {1, 16, 6, 6};
    float reference[16 * 6 * 6], converted[16 * 6 * 6];
    seen.num_shown++;
    for (size_t s = 0; s < self->num_samples; s++) {
        struct lbw_random random = {(uint64_t)name[1] + 100 * s}, noise = {seen.replaced};
        for (size_t i = 0; i < sizeof reference / sizeof *reference; i++) {
            reference[i] = (float)lbw_random_unit(&random);
            converted[i] = reference[i] + 0.1f * (float)lbw_random_unit(&noise);
        }
        const struct lbw_activation activation = {s, 4, dims, reference, converted};
        LBW_TRY(fn(user, &activation, err));
    }
    return LBW_OK;
}

static enum lbw_status replace(struct lbw_activations *self, const char *name,
                               const float *values, size_t count, struct lbw_error *err)
{
    (void)self, (void)name, (void)err;
    for (size_t i = 0; i < count; i++)
        seen.replaced = seen.replaced * 0x100000001b3 + lbw_float_bits(values[i]);
    return LBW_OK;
}

/* ---- one run ---- */

struct run {
    float bias;
    struct lbw_plan_params plan;
    double damping;
    uint64_t identity;
    size_t stop_at; /* before which layer; 0: never */
    bool has_state;
    bool is_external; /* all values are in another file than the model */
};

static int stop(void *user, const char *what, size_t done, size_t total)
{
    const struct run *r = user;
    assert_int_equal(total, NUM_LAYERS);
    return what && r->stop_at && done == r->stop_at;
}

/* Opens the model, or a copy of it that has its values beside it. */
static struct lbw_model *open_input(const struct text *bytes, bool is_external)
{
    char file[320], data[320];
    struct lbw_model *model = NULL;
    assert_int_equal(lbw_model_open_memory(&model, bytes->data, bytes->size, NULL), LBW_OK);
    if (!is_external)
        return model;
    snprintf(file, sizeof file, "%s.onnx", path);
    snprintf(data, sizeof data, "%s.data", strrchr(path, '/') + 1);
    const struct lbw_external_params params = {data, 1, 0};
    assert_int_equal(lbw_model_save_external(model, file, &params, NULL), LBW_OK);
    lbw_model_close(&model);
    assert_int_equal(lbw_model_open(&model, file, NULL), LBW_OK);
    return model;
}

static enum lbw_status run(struct text *out, const struct run *r, struct lbw_error *err)
{
    struct text bytes = make_model(r->bias);
    struct lbw_activations activations = {show, replace, ignore_position, 2, r->identity};
    struct lbw_plan *plan = NULL;
    const struct lbw_convert_params params = {.activations = &activations,
                                              .state = r->has_state ? path : NULL,
                                              .damping = r->damping,
                                              .progress = stop,
                                              .user = (void *)r};
    memset(&seen, 0, sizeof seen);
    struct lbw_model *model = open_input(&bytes, r->is_external);
    assert_int_equal(prepare_and_plan(&plan, model, &r->plan, err), LBW_OK);
    enum lbw_status status = lbw_convert(NULL, model, plan, &params, err);
    void *data = NULL;
    if (status == LBW_OK)
        assert_int_equal(lbw_model_save_memory(model, &data, &out->size, err), LBW_OK);
    out->data = data;
    lbw_plan_free(&plan);
    lbw_model_close(&model);
    free(bytes.data);
    return status;
}

static struct text run_well(const struct run *r)
{
    struct text out = {0};
    struct lbw_error err = {0};
    if (run(&out, r, &err) != LBW_OK)
        fail_msg("%s", err.message);
    return out;
}

static void same_bytes(const struct text *a, struct text *b)
{
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->data, b->data, a->size);
    free(b->data);
}

/* ---- tests ---- */

static void test_resume(void **state)
{
    (void)state;
    struct text none;
    struct text whole = run_well(&(struct run){0});
    assert_int_equal(seen.num_shown, NUM_LAYERS);
    for (size_t at = 1; at < NUM_LAYERS; at++) {
        struct lbw_error err = {0};
        unlink(path);
        assert_int_equal(run(&none, &(struct run){.stop_at = at, .has_state = true}, &err),
                         LBW_ERR_INTERRUPTED);
        assert_int_equal(seen.num_shown, at);
        struct text resumed = run_well(&(struct run){.has_state = true});
        assert_int_equal(seen.num_shown, NUM_LAYERS - at);
        same_bytes(&whole, &resumed);
        resumed = run_well(&(struct run){.has_state = true}); /* all is there */
        assert_int_equal(seen.num_shown, 0);
        same_bytes(&whole, &resumed);
    }
    free(whole.data);
}

/* A file cut anywhere, or with a changed byte, costs the layers from there on, no more. */
static void test_damage(void **state)
{
    (void)state;
    struct lbw_bytes file;
    unlink(path);
    struct text whole = run_well(&(struct run){.has_state = true});
    assert_int_equal(lbw_bytes_read(&file, path, NULL), LBW_OK);
    unsigned char *copy = malloc(file.size);
    size_t size = file.size;
    memcpy(copy, file.data, size);
    lbw_bytes_release(&file);
    for (size_t cut = 0; cut < size; cut += cut < 40 ? 1 : 97) {
        write_file(path, copy, cut);
        struct text again = run_well(&(struct run){.has_state = true});
        assert_true(seen.num_shown > 0);
        same_bytes(&whole, &again);
        if (cut < LBW_HEADER_SIZE)
            continue; /* another byte there makes it another file */
        copy[cut] ^= 4;
        write_file(path, copy, size);
        copy[cut] ^= 4;
        again = run_well(&(struct run){.has_state = true});
        assert_true(seen.num_shown > 0);
        same_bytes(&whole, &again);
    }
    free(copy);
    free(whole.data);
}

/* Whatever the result depends on makes it another run. */
static void test_another_run(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct run run;
    } others[] = {
        {"bias", {.bias = 1}},
        {"scale", {.plan = {.scale = LBW_SCALE_POW2}}},
        {"group", {.plan = {.group = LBW_GROUP_TENSOR}}},
        {"method", {.plan = {.method = LBW_METHOD_THRESHOLD}}},
        {"damping", {.damping = 0.5}},
        {"samples", {.identity = 7}},
    };
    unlink(path);
    struct text whole = run_well(&(struct run){.has_state = true});
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct run r = others[i].run;
        struct text none;
        struct lbw_error err = {0};
        r.has_state = true;
        if (run(&none, &r, &err) != LBW_ERR_ARGUMENT)
            fail_msg("another %s went unnoticed", others[i].what);
        assert_non_null(strstr(err.message, path));
        assert_non_null(strstr(err.message, "another model"));
    }
    struct text again =
        run_well(&(struct run){.has_state = true}); /* the file was left alone */
    assert_int_equal(seen.num_shown, 0);
    same_bytes(&whole, &again);
    free(whole.data);
}

/* Biases count as well where they are in another file. */
static void test_external(void **state)
{
    (void)state;
    struct text none;
    struct run r = {.has_state = true, .is_external = true};
    unlink(path);
    struct text whole = run_well(&r), again = run_well(&r);
    assert_int_equal(seen.num_shown, 0);
    same_bytes(&whole, &again);
    free(whole.data);
    r.bias = 1;
    assert_int_equal(run(&none, &r, NULL), LBW_ERR_ARGUMENT);
}

/* Records of two runs at a time would mix. */
static void test_lock(void **state)
{
    (void)state;
    struct text none;
    struct lbw_error err = {0};
    const struct run r = {.has_state = true};
    unlink(path);
    struct text whole = run_well(&r);
    FILE *other = fopen(path, "rb");
    assert_non_null(other);
    assert_int_equal(flock(fileno(other), LOCK_EX | LOCK_NB), 0);
    assert_int_equal(run(&none, &r, &err), LBW_ERR_IO);
    assert_non_null(strstr(err.message, "in use by another run"));
    fclose(other);
    struct text again = run_well(&r);
    same_bytes(&whole, &again);
    free(whole.data);
}

/* The hash of a record is no secret: it has to hold what such a record may hold. */
static void forge(unsigned char *file, size_t at, unsigned char byte)
{
    unsigned char *record = file + LBW_HEADER_SIZE;
    size_t length = (size_t)lbw_load_u64(record);
    assert_true(at < length);
    record[16 + at] = byte;
    lbw_store_le(record + 8, lbw_hash(LBW_HASH_START, record + 16, length), 8);
}

static void test_forged(void **state)
{
    (void)state;
    struct lbw_bytes bytes;
    struct text none;
    unlink(path);
    struct text whole = run_well(&(struct run){.has_state = true});
    assert_int_equal(lbw_bytes_read(&bytes, path, NULL), LBW_OK);
    size_t name = 8 + (size_t)lbw_load_u64(bytes.data + LBW_HEADER_SIZE + 16);
    size_t grid = name + 8 + (size_t)lbw_load_u64(bytes.data + LBW_HEADER_SIZE + 16 + name);
    size_t flag = grid + 3 * 8, codes = flag + 1 + 3 * 8;
    const struct {
        const char *what;
        size_t at;
        unsigned char byte;
    } cases[] = {
        {"length of the name", 7, 1},
        {"name", 8, '!'},
        {"grid", name + 8, '6'},
        {"count", grid, 255},
        {"number of steps", grid + 8, 255},
        {"flag", flag, 2},
        {"energy", flag + 8, 0xff},
        {"code", codes, 250},
        {"code just beyond", codes + 1, 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_error err = {0};
        unsigned char *copy = malloc(bytes.size);
        memcpy(copy, bytes.data, bytes.size);
        forge(copy, cases[i].at, cases[i].byte);
        write_file(path, copy, bytes.size);
        free(copy);
        if (run(&none, &(struct run){.has_state = true}, &err) != LBW_ERR_FORMAT)
            fail_msg("a forged %s went unnoticed", cases[i].what);
        assert_non_null(strstr(err.message, path));
        assert_non_null(strstr(err.message, "corrupt"));
    }
    /* another format of the same kind is no license to guess */
    unsigned char *copy = malloc(bytes.size);
    struct lbw_error err = {0};
    memcpy(copy, bytes.data, bytes.size);
    copy[8]++;
    write_file(path, copy, bytes.size);
    free(copy);
    assert_int_equal(run(&none, &(struct run){.has_state = true}, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, "another version"));
    lbw_bytes_release(&bytes);
    free(whole.data);
}

static void test_no_state(void **state)
{
    (void)state;
    static const char text[] = "a letter to a friend";
    struct text none;
    struct lbw_error err = {0};
    struct stat st;
    write_file(path, text, sizeof text);
    assert_int_equal(run(&none, &(struct run){.has_state = true}, &err), LBW_ERR_FORMAT);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, sizeof text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume),      cmocka_unit_test(test_damage),
        cmocka_unit_test(test_another_run), cmocka_unit_test(test_external),
        cmocka_unit_test(test_lock),        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_no_state),
    };
    snprintf(path, sizeof path, "%s", temporary_path("state"));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    for (int i = 0; i < 2; i++) {
        char file[320];
        snprintf(file, sizeof file, "%s.%s", path, i ? "onnx" : "data");
        unlink(file);
    }
    return failed;
}
