/* SPDX-License-Identifier: MIT */
/* lbw grids: the values that a weight may take, and what each grid costs. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include <jansson.h>
#include <lbw/convert.h>

#include "cli/commands.h"
#include "cli/json.h"
#include "cli/table.h"
#include "cli/talk.h"

struct grids_values {
    bool json;
};

static int print_json(void)
{
    json_t *list = json_array();
    const struct lbw_grid *g;
    for (size_t i = 0; (g = lbw_grid_at(i)); i++) {
        json_t *levels = json_array();
        for (int l = 0; l < g->num_levels; l++)
            lbw_json_append(&levels, json_integer(g->levels[l]));
        lbw_json_append(&list, json_pack("{s:s, s:i, s:i, s:i, s:i, s:f, s:f, s:o}", "name",
                                         g->name, "bits", g->bits, "terms", g->terms, "shift",
                                         g->shift, "num_levels", g->num_levels, "entropy_bits",
                                         log2(g->num_levels), "packed_bits",
                                         lbw_grid_packed_bits(g), "levels", levels));
    }
    return lbw_json_print(list);
}

/* The magnitudes: "0 ±1 ±2 ±4"; long lists keep both ends. */
static void describe_levels(char *out, size_t size, const struct lbw_grid *g)
{
    int num = g->num_levels - g->zero_code - 1;
    size_t used = (size_t)snprintf(out, size, "0");
    for (int i = 1; i <= num && used < size; i++) {
        if (num > 10 && i == 6) {
            used += (size_t)snprintf(out + used, size - used, " …");
            i = num - 1;
        }
        used += (size_t)snprintf(out + used, size - used, " ±%" PRId32,
                                 g->levels[g->zero_code + i]);
    }
}

static void print_encodings(void)
{
    static const struct lbw_column columns[] = {
        {"encoding", LBW_ALIGN_LEFT},
        {"stored as", LBW_ALIGN_LEFT},
        {"needs", LBW_ALIGN_LEFT},
    };
    struct lbw_table table;
    lbw_table_init(&table, columns, 3);
    const struct lbw_encoding_info *info;
    for (int i = 0; (info = lbw_encoding_info((enum lbw_encoding)i)); i++) {
        lbw_table_cell(&table, "%s", info->name);
        lbw_table_cell(&table, "%s", info->stored);
        lbw_table_cell(&table, "%s", info->needs);
    }
    putchar('\n');
    lbw_table_print(&table, stdout, 0);
    lbw_table_release(&table);
}

static int run(const void *values, int num_arguments, char **arguments)
{
    (void)num_arguments;
    (void)arguments;
    const struct grids_values *v = values;
    static const struct lbw_column columns[] = {
        {"grid", LBW_ALIGN_LEFT},        {"levels", LBW_ALIGN_RIGHT},
        {"log2", LBW_ALIGN_RIGHT},       {"packed bits", LBW_ALIGN_RIGHT},
        {"of float32", LBW_ALIGN_RIGHT}, {"values, in steps", LBW_ALIGN_LEFT},
    };
    const struct lbw_grid *g;
    if (v->json)
        return print_json();
    struct lbw_table table;
    lbw_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; (g = lbw_grid_at(i)); i++) {
        char levels[256];
        describe_levels(levels, sizeof levels, g);
        double bits = lbw_grid_packed_bits(g);
        lbw_table_cell(&table, "%s", g->name);
        lbw_table_cell(&table, "%d", g->num_levels);
        lbw_table_cell(&table, "%.3f", log2(g->num_levels));
        lbw_table_cell(&table, "%.3f", bits);
        lbw_table_cell(&table, "%.1f %%", bits / 32 * 100);
        lbw_table_cell(&table, "%s", levels);
    }
    lbw_table_print(&table, stdout, 0);
    lbw_table_release(&table);
    print_encodings();
    puts("\n4: 4 bits, one power of two per weight; 4x2: the sum of two, one octave apart;\n"
         "4x2d2: two octaves apart. A step is the scale of a channel or tensor.");
    return LBW_EXIT_DONE;
}

static const struct lbw_option options[] = {
    {"json", 0, LBW_OPTION_FLAG, offsetof(struct grids_values, json), NULL,
     "print JSON instead of a table"},
    {0},
};

const struct lbw_command lbw_cmd_grids = {
    .name = "grids",
    .summary = "list the grids: the values a weight may take",
    .arguments = "",
    .description = "Lists the grids that --bits accepts, with the size of a packed weight, and "
                   "the encodings that --encoding accepts.",
    .options = options,
    .values_size = sizeof(struct grids_values),
    .run = run,
};
