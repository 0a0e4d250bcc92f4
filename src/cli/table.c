/* SPDX-License-Identifier: MIT */
/* Lays out tables by display width. */
#include "cli/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "cli/talk.h"

#define MOST_PADDED 100 /* longer names do not widen their column, they stick out of it */

void lbw_table_init(struct lbw_table *table, const struct lbw_column *columns, size_t num)
{
    *table = (struct lbw_table){.columns = columns, .num_columns = num};
}

void lbw_table_release(struct lbw_table *table)
{
    for (size_t i = 0; i < table->num_cells; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct lbw_table){0};
}

void lbw_table_cell(struct lbw_table *table, const char *fmt, ...)
{
    if (table->num_cells == table->capacity) {
        size_t larger = table->capacity ? 2 * table->capacity : 64;
        char **cells = realloc(table->cells, larger * sizeof *cells);
        if (!cells) {
            table->out_of_memory = 1;
            return;
        }
        table->cells = cells;
        table->capacity = larger;
    }
    va_list ap;
    va_start(ap, fmt);
    char *text, *clean = NULL;
    if (vasprintf(&text, fmt, ap) >= 0) {
        clean = lbw_printable(text);
        free(text);
    }
    va_end(ap);
    if (clean)
        table->cells[table->num_cells++] = clean;
    else
        table->out_of_memory = 1;
}

/* Bytes of the first character of `text` and its columns; invalid bytes count one. */
static size_t next_character(const char *text, size_t *columns)
{
    wchar_t c;
    mbstate_t state = {0};
    size_t bytes = mbrtowc(&c, text, strlen(text), &state);
    *columns = 1;
    if (bytes == 0 || bytes > 6)
        return 1;
    int width = wcwidth(c);
    if (width >= 0)
        *columns = (size_t)width;
    return bytes;
}

size_t lbw_text_width(const char *text)
{
    size_t width = 0;
    while (*text) {
        size_t columns;
        text += next_character(text, &columns);
        width += columns;
    }
    return width;
}

int lbw_terminal_width(FILE *to)
{
    struct winsize size;
    if (!isatty(fileno(to)))
        return 0;
    if (ioctl(fileno(to), TIOCGWINSZ, &size) != 0 || size.ws_col < 20)
        return 80;
    return size.ws_col;
}

/* The end of `text` that has at most `width` columns. */
static const char *tail(const char *text, size_t width)
{
    while (lbw_text_width(text) > width) {
        size_t columns;
        text += next_character(text, &columns);
    }
    return text;
}

void lbw_text_shorten(char *out, size_t size, const char *text, size_t width)
{
    if (lbw_text_width(text) <= width || width < 3) {
        snprintf(out, size, "%s", text);
        return;
    }
    size_t head = (width - 1) / 2, bytes = 0, used = 0;
    for (;;) {
        size_t columns, length = next_character(text + bytes, &columns);
        if (used + columns > head)
            break;
        bytes += length;
        used += columns;
    }
    snprintf(out, size, "%.*s…%s", (int)bytes, text, tail(text, width - 1 - used));
}

/* With as many of the last folders as fit, or the name alone, shortened in the middle. */
static void shorten_path(char *out, size_t size, const char *path, size_t width)
{
    const char *at = strchr(path, '/'), *name = path;
    for (; at; at = strchr(at + 1, '/')) {
        name = at + 1;
        if (lbw_text_width(at) + 1 <= width) {
            snprintf(out, size, "…%s", at);
            return;
        }
    }
    lbw_text_shorten(out, size, name, width);
}

static size_t column_width(const struct lbw_table *table, size_t column)
{
    size_t width = lbw_text_width(table->columns[column].title);
    bool is_name = table->columns[column].align >= LBW_ALIGN_SHRINK;
    for (size_t i = column; i < table->num_cells; i += table->num_columns) {
        size_t cell = lbw_text_width(table->cells[i]);
        if (cell > width && !(is_name && cell > MOST_PADDED))
            width = cell;
    }
    return width;
}

/* Takes columns from the widest of those that may shrink until the row fits. */
static void shrink(size_t *widths, const struct lbw_table *table, size_t available)
{
    for (;;) {
        size_t total = 2 * (table->num_columns - 1), widest = table->num_columns;
        for (size_t i = 0; i < table->num_columns; i++) {
            total += widths[i];
            if (table->columns[i].align >= LBW_ALIGN_SHRINK && widths[i] > 12 &&
                (widest == table->num_columns || widths[i] > widths[widest]))
                widest = i;
        }
        if (total <= available || widest == table->num_columns)
            return;
        widths[widest]--;
    }
}

static void print_cell(FILE *to, const char *text, enum lbw_align align, size_t width,
                       bool shortens, bool is_last)
{
    char shortened[1024];
    if (lbw_text_width(text) > width && shortens) {
        if (align == LBW_ALIGN_PATH)
            shorten_path(shortened, sizeof shortened, text, width);
        else
            lbw_text_shorten(shortened, sizeof shortened, text, width);
        text = shortened;
    }
    size_t used = lbw_text_width(text);
    int space = used < width ? (int)(width - used) : 0;
    if (align == LBW_ALIGN_RIGHT)
        fprintf(to, "%*s%s", space, "", text);
    else
        fprintf(to, "%s%*s", text, is_last ? 0 : space, "");
    fputs(is_last ? "\n" : "  ", to);
}

static const char *cell_text(const struct lbw_table *table, size_t row, size_t column)
{
    return row ? table->cells[(row - 1) * table->num_columns + column]
               : table->columns[column].title;
}

/* Row 0 is the headings. Rows end at the last cell that is not empty: no trailing blanks. */
static void print_row(const struct lbw_table *table, FILE *to, int indent, size_t row,
                      const size_t *widths, bool shortens)
{
    size_t length = table->num_columns;
    while (length > 1 && !*cell_text(table, row, length - 1))
        length--;
    fprintf(to, "%*s", indent, "");
    for (size_t i = 0; i < length; i++)
        print_cell(to, cell_text(table, row, i), table->columns[i].align, widths[i], shortens,
                   i + 1 == length);
}

void lbw_table_print(const struct lbw_table *table, FILE *to, int indent)
{
    size_t num = table->num_columns;
    size_t *widths = malloc(num * sizeof *widths);
    if (!widths || table->out_of_memory) {
        free(widths);
        fputs("lbw: out of memory\n", stderr);
        return;
    }
    for (size_t i = 0; i < num; i++)
        widths[i] = column_width(table, i);
    int terminal = lbw_terminal_width(to);
    if (terminal)
        shrink(widths, table, (size_t)(terminal > indent ? terminal - indent : 1));
    for (size_t row = 0; row <= table->num_cells / num; row++)
        print_row(table, to, indent, row, widths, terminal != 0);
    free(widths);
}
