/* SPDX-License-Identifier: MIT */
/* Regular expressions that name weights and activations. */
#include "pass/pattern.h"

#include <stdlib.h>

#include "base/check.h"

enum lbw_status lbw_patterns_init(struct lbw_patterns *patterns, size_t most,
                                  struct lbw_error *err)
{
    *patterns = (struct lbw_patterns){.regexes = calloc(most + 1, sizeof(regex_t))};
    return patterns->regexes ? LBW_OK : lbw_fail_memory(err);
}

enum lbw_status lbw_patterns_add(struct lbw_patterns *patterns, const char *text,
                                 struct lbw_error *err)
{
    LBW_TRY(lbw_check_given("regex", text, err));
    regex_t *regex = &patterns->regexes[patterns->num];
    int code = regcomp(regex, text, REG_EXTENDED | REG_NOSUB);
    if (code == REG_ESPACE)
        return lbw_fail_memory(err);
    if (code != 0) {
        char why[200];
        regerror(code, regex, why, sizeof why);
        return lbw_fail(err, LBW_ERR_ARGUMENT, "invalid regular expression '%s': %s", text,
                        why);
    }
    patterns->num++;
    return LBW_OK;
}

void lbw_patterns_release(struct lbw_patterns *patterns)
{
    for (size_t i = 0; i < patterns->num; i++)
        regfree(&patterns->regexes[i]);
    free(patterns->regexes);
    *patterns = (struct lbw_patterns){0};
}

bool lbw_patterns_match(const struct lbw_patterns *patterns, size_t i, const char *node,
                        const char *tensor)
{
    const regex_t *regex = &patterns->regexes[i];
    return regexec(regex, node, 0, NULL, 0) == 0 || regexec(regex, tensor, 0, NULL, 0) == 0;
}
