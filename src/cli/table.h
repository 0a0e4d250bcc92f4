/* SPDX-License-Identifier: MIT */
/* Tables for people, aligned by display width, not by bytes. */
#ifndef LBW_CLI_TABLE_H
#define LBW_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include <lbw/base.h>

enum lbw_align {
    LBW_ALIGN_LEFT,
    LBW_ALIGN_RIGHT,  /* numbers */
    LBW_ALIGN_SHRINK, /* left; shortened in the middle if a terminal is too narrow */
    LBW_ALIGN_PATH,   /* left; loses folders first: "…/nano/model.onnx" */
};

/* The heading of a column; one constant array per table. */
struct lbw_column {
    const char *title;
    enum lbw_align align;
};

/* Cells are collected row by row and printed together. Zero-initialise; failure is sticky. */
struct lbw_table {
    const struct lbw_column *columns;
    size_t num_columns;
    size_t num_cells, capacity;
    char **cells;
    int out_of_memory;
};

void lbw_table_init(struct lbw_table *table, const struct lbw_column *columns, size_t num);
void lbw_table_release(struct lbw_table *table);

/* The next cell, left to right; a row is full when every column has one. */
void lbw_table_cell(struct lbw_table *table, const char *fmt, ...) LBW_PRINTF(2, 3);

/* Headings and rows, two spaces between columns, each line indented by `indent`. */
void lbw_table_print(const struct lbw_table *table, FILE *to, int indent);

/* Columns that a UTF-8 text takes on a terminal. */
size_t lbw_text_width(const char *text);

/* Columns of the terminal `to`, or 0 if it is not one. */
int lbw_terminal_width(FILE *to);

/* Copies text, shortened in its middle ("backbone…conv") to at most `width` columns. */
void lbw_text_shorten(char *out, size_t size, const char *text, size_t width);

#endif
