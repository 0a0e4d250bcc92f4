/* SPDX-License-Identifier: MIT */
/* As much of cmocka as the tests of the kernels use, for where there is no cmocka. */
#ifndef LBW_TESTS_ARM_CMOCKA_H
#define LBW_TESTS_ARM_CMOCKA_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

#define cmocka_unit_test(function) ((struct CMUnitTest){#function, function})

#define fail_msg(...)                                                                          \
    do {                                                                                       \
        printf("# " __VA_ARGS__);                                                              \
        printf("\n");                                                                          \
        exit(1);                                                                               \
    } while (0)
#define assert_true(condition)                                                                 \
    do {                                                                                       \
        if (!(condition))                                                                      \
            fail_msg("%s:%d: %s", __FILE__, __LINE__, #condition);                             \
    } while (0)
#define assert_null(pointer)     assert_true((pointer) == NULL)
#define assert_non_null(pointer) assert_true((pointer) != NULL)
#define assert_int_equal(a, b)   assert_true((long long)(a) == (long long)(b))

#define cmocka_run_group_tests(tests, setup, teardown)                                         \
    run_tests(tests, sizeof(tests) / sizeof *(tests), setup, teardown)

static inline int run_tests(const struct CMUnitTest *tests, size_t num,
                            int (*setup)(void **state), int (*teardown)(void **state))
{
    void *state = NULL;
    if (setup)
        setup(&state);
    for (size_t i = 0; i < num; i++) {
        tests[i].run(&state);
        printf("ok %zu - %s\n", i + 1, tests[i].name);
    }
    return teardown ? teardown(&state) : 0;
}

#endif
