/* SPDX-License-Identifier: MIT */
/* lbw profiles: lists the built-in profiles. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <lbw/profile.h>

#include "cli/commands.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/talk.h"

struct profiles_values {
    bool json;
};

static int print_json(void)
{
    json_t *list = json_array();
    const struct lbw_profile *p;
    for (size_t i = 0; (p = lbw_profile_at(i)); i++) {
        char input[256];
        lbw_preprocess_describe(input, sizeof input, &p->preprocess);
        lbw_json_append(&list, json_pack("{s:s, s:s, s:s, s:s, s:i, s:f, s:f, s:i}", "name",
                                         p->name, "family", lbw_family_name(p->family),
                                         "description", p->description, "input", input,
                                         "classes", p->num_classes, "score", (double)p->score,
                                         "nms", (double)p->nms, "max_boxes", p->max_boxes));
    }
    return lbw_json_print(list);
}

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    (void)arguments;
    const struct profiles_values *v = values;
    const struct lbw_profile *profile;
    if (v->json)
        return print_json();
    static const struct lbw_column columns[] = {
        {"profile", LBW_ALIGN_LEFT},
        {"detector", LBW_ALIGN_LEFT},
        {"preprocessing", LBW_ALIGN_LEFT},
    };
    struct lbw_table table;
    lbw_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; (profile = lbw_profile_at(i)); i++) {
        char input[256];
        lbw_preprocess_describe(input, sizeof input, &profile->preprocess);
        const char *blank = strchr(input, ' ');
        input[strcspn(input, ",")] = '\0'; /* too many numbers: they are in the JSON */
        lbw_table_cell(&table, "%s", profile->name);
        lbw_table_cell(&table, "%s", profile->description);
        lbw_table_cell(&table, "%s", isdigit((unsigned char)*input) ? blank + 1 : input);
    }
    lbw_table_print(&table, stdout, 0);
    lbw_table_release(&table);
    puts("\n'lbw profiles --json' prints all fields: size, padding, mean, std, scores.");
    return LBW_EXIT_DONE;
}

static const struct lbw_option options[] = {
    {"json", 0, LBW_OPTION_FLAG, offsetof(struct profiles_values, json), NULL, "print JSON"},
    {0},
};

const struct lbw_command lbw_cmd_profiles = {
    .name = "profiles",
    .summary = "list the built-in detector profiles",
    .arguments = "",
    .description =
        "Lists the built-in profiles: the preprocessing, decoder and classes of detectors.\n"
        "Use --profile FILE.json for others:\n\n"
        "    {\"extends\": \"yolov8\", \"size\": [640, 640], \"labels\": [\"cat\", \"dog\"]}",
    .options = options,
    .values_size = sizeof(struct profiles_values),
    .run = run,
};
