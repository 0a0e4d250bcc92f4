/* SPDX-License-Identifier: MIT */
/* draw: sizes, colours and marks of drawings, read back from the PNG. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <lbw/draw.h>

static char path[] = "/tmp/lbw-draw-XXXXXX";

static int setup(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static struct lbw_image grey(int width, int height)
{
    struct lbw_image image = {width, height, malloc((size_t)width * (size_t)height * 3)};
    assert_non_null(image.pixels);
    memset(image.pixels, 128, (size_t)width * (size_t)height * 3);
    return image;
}

static struct lbw_image draw(const struct lbw_image *image, const struct lbw_panel *panels,
                             size_t num)
{
    static const char *const names[] = {"cat", "dog"};
    struct lbw_image result;
    struct lbw_error err;
    if (lbw_draw(path, image, panels, num, names, 2, &err) != LBW_OK)
        fail_msg("%s", err.message);
    assert_int_equal(lbw_image_read(&result, path, &err), LBW_OK);
    return result;
}

static const uint8_t *pixel(const struct lbw_image *image, int x, int y)
{
    return image->pixels + 3 * ((size_t)y * (size_t)image->width + (size_t)x);
}

static bool is_grey(const uint8_t *p)
{
    return p[0] == p[1] && p[1] == p[2];
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        int width, height, result_width, result_height;
    } cases[] = {
        {96, 48, 960, 480},     /* enlarged */
        {1200, 900, 1200, 900}, /* as it is */
        {3200, 1600, 1600, 800},
        {1, 1000, 1, 1000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lbw_image image = grey(cases[i].width, cases[i].height);
        struct lbw_panel panel = {0};
        struct lbw_image result = draw(&image, &panel, 1);
        assert_int_equal(result.width, cases[i].result_width);
        assert_int_equal(result.height, cases[i].result_height);
        assert_true(is_grey(pixel(&result, result.width / 2, result.height / 2)));
        lbw_image_release(&result);
        lbw_image_release(&image);
    }
}

/* Each class keeps its colour; the line lies on the box's edge, where the image is grey. */
static void test_colors(void **state)
{
    (void)state;
    struct lbw_image image = grey(1000, 800);
    struct lbw_box boxes[] = {{100, 100, 200, 200, .9f, 0},
                              {500, 100, 200, 200, .8f, 0},
                              {100, 500, 200, 200, .7f, 1}};
    struct lbw_panel panel = {NULL, NULL, boxes, NULL, 3};
    struct lbw_image result = draw(&image, &panel, 1);
    const uint8_t *first = pixel(&result, 100, 200), *second = pixel(&result, 500, 200),
                  *other = pixel(&result, 100, 600);
    assert_false(is_grey(first));
    assert_memory_equal(first, second, 3);
    assert_memory_not_equal(first, other, 3);
    assert_true(is_grey(pixel(&result, 400, 400)));
    lbw_image_release(&result);

    /* The same file every time. */
    struct lbw_image again = draw(&image, &panel, 1);
    struct lbw_image twice = draw(&image, &panel, 1);
    assert_memory_equal(again.pixels, twice.pixels,
                        3 * (size_t)again.width * (size_t)again.height);
    lbw_image_release(&again);
    lbw_image_release(&twice);
    lbw_image_release(&image);
}

/* Two titled panels stand side by side; a lost box is dashed: white here, not there. */
static void test_panels(void **state)
{
    (void)state;
    struct lbw_image image = grey(1000, 800);
    struct lbw_box box = {100, 100, 600, 600, .9f, 0};
    enum lbw_mark mark = LBW_MARK_LOST;
    struct lbw_panel panels[] = {{"float32", "1 box", &box, NULL, 1},
                                 {"4-bit", "0 boxes, 1 lost", &box, &mark, 1}};
    struct lbw_image result = draw(&image, panels, 2);
    assert_true(result.width > 2000 && result.width < 2100);
    assert_true(result.height > 820 && result.height < 900);
    int margin = (result.width - 2000) / 3, header = result.height - 800 - 2 * margin;
    int x = 1000 + 2 * margin + 100, num_white = 0, num_other = 0;
    for (int y = 200; y < 600; y++) {
        const uint8_t *p = pixel(&result, x, margin + header + y);
        if (p[0] > 240 && is_grey(p))
            num_white++;
        else
            num_other++;
    }
    assert_in_range(num_white, 150, 300);
    assert_in_range(num_other, 100, 250);
    assert_false(is_grey(pixel(&result, margin + 100, margin + header + 400)));
    lbw_image_release(&result);

    lbw_image_release(&image);
    image = grey(1000, 300); /* wide: below each other */
    result = draw(&image, panels, 2);
    assert_true(result.width < 1100 && result.height > 600);
    lbw_image_release(&result);
    lbw_image_release(&image);
}

/* Boxes at and beyond the edges, hundreds of them, classes without names. */
static void test_odd_boxes(void **state)
{
    (void)state;
    struct lbw_image image = grey(300, 200);
    struct lbw_box boxes[300];
    enum lbw_mark marks[300];
    for (int i = 0; i < 300; i++) {
        boxes[i] = (struct lbw_box){
            (float)(i - 20), (float)(i % 50 - 10), (float)(i % 7), (float)(i % 90), .5f, i};
        marks[i] = (enum lbw_mark)(i % 3);
    }
    struct lbw_panel panel = {"t", NULL, boxes, marks, 300};
    struct lbw_image result = draw(&image, &panel, 1);
    assert_true(result.width >= 960);
    lbw_image_release(&result);
    lbw_image_release(&image);
}

/* Names are bytes: whatever they are, and wherever they are cut, the drawing comes out. */
static void test_bad_names(void **state)
{
    (void)state;
    static const char *const names[] = {"caf\xe9", "\xff"};
    char longest[200];
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = "\xc3\xa9"[i % 2]; /* 64 bytes of it end within a letter */
    longest[sizeof longest - 1] = '\0';
    const char *cut[] = {longest + 1, longest};
    struct lbw_image image = grey(300, 200), result;
    struct lbw_box boxes[] = {{10, 10, 90, 90, .5f, 0}, {110, 10, 90, 90, .5f, 1}};
    struct lbw_panel panel = {"mod\xe9l", "1 \xe9", boxes, NULL, 2};
    struct lbw_error err;
    for (size_t i = 0; i < 2; i++) {
        if (lbw_draw(path, &image, &panel, 1, i ? cut : names, 2, &err) != LBW_OK)
            fail_msg("%s", err.message);
        assert_int_equal(lbw_image_read(&result, path, &err), LBW_OK);
        lbw_image_release(&result);
        panel.title = longest;
    }
    lbw_image_release(&image);
}

static void test_unwritable(void **state)
{
    (void)state;
    struct lbw_image image = grey(10, 10);
    struct lbw_panel panel = {0};
    struct lbw_error err;
    assert_int_equal(lbw_draw("/no/such/folder/x.png", &image, &panel, 1, NULL, 0, &err),
                     LBW_ERR_IO);
    assert_non_null(strstr(err.message, "/no/such/folder/x.png"));
    lbw_image_release(&image);
}

static void test_compare(void **state)
{
    (void)state;
    const struct lbw_box wanted[] = {{0, 0, 10, 10, .9f, 0}, {50, 0, 10, 10, .8f, 0}};
    const struct lbw_box found[] = {{1, 0, 10, 10, .9f, 0}, {50, 0, 10, 10, .8f, 1}};
    struct lbw_box *boxes;
    enum lbw_mark *marks;
    size_t num;
    assert_int_equal(lbw_compare_boxes(&boxes, &marks, &num, wanted, 2, found, 2, .5f, NULL),
                     LBW_OK);
    assert_int_equal(num, 3);
    assert_int_equal(marks[0], LBW_MARK_NONE);
    assert_int_equal(marks[1], LBW_MARK_INVENTED); /* another class */
    assert_int_equal(marks[2], LBW_MARK_LOST);
    assert_float_equal(boxes[2].score, .8f, 0);
    assert_int_equal(boxes[2].class_index, 0);
    lbw_free(boxes);
    lbw_free(marks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),     cmocka_unit_test(test_colors),
        cmocka_unit_test(test_panels),    cmocka_unit_test(test_odd_boxes),
        cmocka_unit_test(test_bad_names), cmocka_unit_test(test_unwritable),
        cmocka_unit_test(test_compare),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
