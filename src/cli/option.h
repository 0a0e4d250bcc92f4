/* SPDX-License-Identifier: MIT */
/*
 * Options as data: one table per command makes parsing, --help, suggestions, shell completion
 * and the manual page.
 *
 * A command keeps its values in a struct of its own; each row of its table says where:
 *
 *     struct eval_values { const char *data; double score; bool json; };
 *     static const struct lbw_option options[] = {
 *         {"data", 'd', LBW_OPTION_STRING, offsetof(struct eval_values, data), "FILE", "…"},
 *         {"score", 0, LBW_OPTION_FLOAT, offsetof(struct eval_values, score), "X", "…",
 *          .min = 0, .max = 1},
 *         {"json", 0, LBW_OPTION_FLAG, offsetof(struct eval_values, json), NULL, "…"},
 *         {0},
 *     };
 */
#ifndef LBW_CLI_OPTION_H
#define LBW_CLI_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each is followed by the type of the member at `offset`. */
enum lbw_option_type {
    LBW_OPTION_FLAG,   /* bool */
    LBW_OPTION_STRING, /* const char *; one of `choice` if that is set */
    LBW_OPTION_OUTPUT, /* const char *, a file to write: see lbw_outputs_are_possible() */
    LBW_OPTION_INT,    /* int64_t, in min … max */
    LBW_OPTION_FLOAT,  /* double, in min … max */
    LBW_OPTION_SIZE,   /* struct lbw_option_size, "416x416" */
    LBW_OPTION_BYTES,  /* uint64_t, "64K", "1.5G" (powers of 1024) */
    LBW_OPTION_SHARE,  /* double, 0 … 1: "98%" */
    LBW_OPTION_CHOICE, /* int, the index in `choice` */
    LBW_OPTION_LIST,   /* struct lbw_option_list, one item for each use */
};

struct lbw_option_size {
    int width, height;
};

struct lbw_option_list {
    size_t num;
    const char **items; /* freed by the dispatcher; the strings are borrowed from argv */
};

struct lbw_option {
    const char *name; /* without dashes; NULL ends the table */
    char letter;      /* the short form, or 0 */
    enum lbw_option_type type;
    size_t offset;                /* in the command's struct of values */
    const char *argument;         /* the name of the value in help; NULL for flags */
    const char *help;             /* one sentence without a full stop, with the default */
    double min, max;              /* LBW_OPTION_INT and _FLOAT, both 0: any; _BYTES: min */
    const char *(*choice)(int i); /* LBW_OPTION_CHOICE and _STRING: names, NULL past the last */
    bool is_written;              /* LBW_OPTION_STRING: "-" is not standard input */
    bool is_in_place;             /* LBW_OPTION_OUTPUT: written in place, not replaced */
};

struct lbw_command {
    const char *name;
    const char *summary;              /* one line for the list of commands */
    const char *arguments;            /* "MODEL", "A B", "[COMMAND]"; "" for none */
    const char *description;          /* paragraphs separated by an empty line; may be NULL */
    const char *example;              /* one command line, or NULL */
    const struct lbw_option *options; /* ends with a zeroed row; NULL: only --help */
    size_t values_size;               /* sizeof the struct of values; 0: none */
    const void *defaults;             /* its initial content; NULL: zeros */
    int min_arguments, max_arguments;
    const char *const *words; /* the values of the argument, for completion; NULL: files */
    /* Returns an exit status. `values` is the filled struct; arguments are those left over. */
    int (*run)(const void *values, int num_arguments, char **arguments);
};

/* The commands in the order of help; NULL ends the table. Lives in main.c. */
extern const struct lbw_command *const lbw_commands[];

const struct lbw_command *lbw_command_find(const char *name);

/* The result of parsing. */
enum lbw_parse {
    LBW_PARSE_RUN,  /* values and arguments are good */
    LBW_PARSE_HELP, /* --help was given */
    LBW_PARSE_BAD,  /* usage error, already reported on standard error */
};

/*
 * Parses argv[0 … argc-1], the words after the command's name, into `values` (which holds the
 * defaults). Options may be anywhere, "--" ends them, "--name=value" equals "--name value",
 * letters of flags may be joined. On return argv[0 … *num_arguments-1] are the arguments in
 * order. The caller frees lists with lbw_options_release().
 */
enum lbw_parse lbw_options_parse(void *values, int *num_arguments, int argc, char **argv,
                                 const struct lbw_command *command);
void lbw_options_release(void *values, const struct lbw_command *command);

/* The nearest of `num` names if one is close enough to be a typo; else NULL. */
const char *lbw_suggest(const char *word, const char *const *names, size_t num);

/*
 * The name of a row's value: its argument, or its choices joined by "|". At most `size` bytes.
 */
void lbw_option_value_name(char *out, size_t size, const struct lbw_option *option);

#endif
