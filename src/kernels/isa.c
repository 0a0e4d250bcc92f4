/* SPDX-License-Identifier: MIT */
/* The choice among instruction sets. */
#include "kernels/isa.h"

#include <stdlib.h>
#include <string.h>

/* Slowest first. */
static const struct lbw_isa *const isas[] = {
#ifdef __x86_64__
    &lbw_isa_avx2, &lbw_isa_avxvnni, &lbw_isa_avx512vnni, &lbw_isa_avx512vbmi,
#endif
#ifdef __aarch64__
    &lbw_isa_neon,
#endif
    NULL,
};

size_t lbw_isa_all(const struct lbw_isa *out[LBW_MAX_ISAS])
{
    size_t num = 0;
    for (const struct lbw_isa *const *isa = isas; *isa; isa++)
        if ((*isa)->is_available())
            out[num++] = *isa;
    return num;
}

const struct lbw_isa *lbw_isa_best(void)
{
    const struct lbw_isa *all[LBW_MAX_ISAS];
    size_t num = lbw_isa_all(all);
    const char *wanted = getenv("LBW_ISA");
    if (wanted && strcmp(wanted, "C") == 0)
        return NULL;
    for (size_t i = 0; wanted && i < num; i++)
        if (strcmp(all[i]->name, wanted) == 0)
            return all[i];
    return num ? all[num - 1] : NULL;
}
