/* SPDX-License-Identifier: MIT */
/*
 * Names are arbitrary bytes from files and command lines. Here they become valid UTF-8 for JSON
 * and drawings, harmless text for terminals, and escaped words for files that are read back.
 */
#include "base/text.h"

#include <stdbool.h>
#include <string.h>

#include <lbw/base.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Bytes of the character at `s`, or 0 where none begins (Unicode 15.0, table 3-7). */
static size_t character_size(const unsigned char *s)
{
    static const struct {
        unsigned char first, last, second_first, second_last, size;
    } forms[] = {
        {0x00, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (s[0] < forms[i].first || s[0] > forms[i].last)
            continue;
        size_t size = forms[i].size, whole = 1;
        if (size > 1 && s[1] >= forms[i].second_first && s[1] <= forms[i].second_last)
            for (whole = 2; whole < size && (s[whole] & 0xc0) == 0x80; whole++)
                ;
        return whole == size ? size : 0;
    }
    return 0;
}

/*
 * Whether a character is harmless in a line: not a control (C0, DEL, C1), a line separator
 * (U+2028, U+2029) or a mark of direction (U+200E, U+200F, U+202A … U+202E, U+2066 … U+2069).
 */
static bool is_harmless(const unsigned char *s, size_t size)
{
    if (size == 1)
        return s[0] >= 0x20 && s[0] != 0x7f;
    if (size == 2)
        return s[0] != 0xc2 || s[1] >= 0xa0;
    if (size != 3 || s[0] != 0xe2)
        return true;
    bool is_turn =
        s[1] == 0x80 && (s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xa8 && s[2] <= 0xae));
    return !is_turn && !(s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9);
}

static void copy(char *out, size_t size, const char *text, bool is_for_terminal)
{
    if (!size)
        return;
    while (*text) {
        const unsigned char *bytes = (const unsigned char *)text;
        size_t length = character_size(bytes);
        const char *from = length ? text : REPLACEMENT;
        size_t put = length ? length : strlen(REPLACEMENT);
        if (length && is_for_terminal && !is_harmless(bytes, length)) {
            from = "?";
            put = 1;
        }
        if (put >= size)
            break;
        memcpy(out, from, put);
        out += put;
        size -= put;
        text += length ? length : 1;
    }
    *out = '\0';
}

void lbw_text_mend(char *out, size_t size, const char *text)
{
    copy(out, size, text, false);
}

void lbw_text_clean(char *out, size_t size, const char *text)
{
    copy(out, size, text, true);
}

bool lbw_text_is_utf8(const char *text)
{
    size_t length = 1;
    for (; *text && length; text += length)
        length = character_size((const unsigned char *)text);
    return length != 0;
}

/* A word that can be printed without quotes. */
static bool is_plain(const char *text)
{
    if (!*text || strpbrk(text, " \"\\#"))
        return false;
    for (size_t length; *text; text += length) {
        length = character_size((const unsigned char *)text);
        if (!length || !is_harmless((const unsigned char *)text, length))
            return false;
    }
    return true;
}

void lbw_text_print_word(FILE *to, const char *text)
{
    if (is_plain(text)) {
        fputs(text, to);
        return;
    }
    putc('"', to);
    for (size_t length; *text; text += length) {
        const unsigned char *bytes = (const unsigned char *)text;
        size_t whole = character_size(bytes);
        length = whole ? whole : 1;
        if (*text == '"' || *text == '\\')
            fprintf(to, "\\%c", *text);
        else if (*text == '\n')
            fputs("\\n", to);
        else if (whole && is_harmless(bytes, whole))
            fwrite(text, length, 1, to);
        else
            for (size_t i = 0; i < length; i++)
                fprintf(to, "\\x%02x", bytes[i]);
    }
    putc('"', to);
}

static int digit_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

char *lbw_text_take_word(char **text)
{
    char *in = *text + strspn(*text, " \t\r"), *word, *out;
    if (!*in || *in == '#')
        return NULL;
    if (*in != '"') {
        word = in;
        in += strcspn(in, " \t\r");
        *text = *in ? in + 1 : in;
        *in = '\0';
        return word;
    }
    for (word = out = ++in; *in && *in != '"'; in++) {
        bool is_escaped = *in == '\\' && in[1];
        in += is_escaped;
        int high = is_escaped && *in == 'x' ? digit_of(in[1]) : -1;
        int low = high >= 0 ? digit_of(in[2]) : -1;
        *out = is_escaped && *in == 'n' ? '\n' : *in;
        if (low >= 0 && (high || low)) { /* names hold no zero bytes */
            *out = (char)(high << 4 | low);
            in += 2;
        }
        out++;
    }
    *text = *in ? in + 1 : in;
    *out = '\0';
    return word;
}

void lbw_text_excerpt(char *out, size_t size, const char *text)
{
    static const char more[] = " …";
    size_t length = strlen(text), room = size - 1;
    while (length && (unsigned char)text[length - 1] <= ' ')
        length--;
    bool is_cut = length > room;
    if (is_cut) {
        room -= strlen(more);
        for (length = room; length && text[length] != ' ';)
            length--;
        while (length && text[length - 1] == ' ')
            length--;
        if (!length) /* one long word: cut in front of a character */
            for (length = room; length && ((unsigned char)text[length] & 0xc0) == 0x80;)
                length--;
    }
    for (size_t i = 0; i < length; i++)
        out[i] = (unsigned char)text[i] < ' ' ? ' ' : text[i];
    memcpy(out + length, is_cut ? more : "", is_cut ? sizeof more : 1);
}
