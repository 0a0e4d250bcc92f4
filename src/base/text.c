/* SPDX-License-Identifier: MIT */
/* Names come as bytes from files and command lines; who takes UTF-8 only gets them mended. */
#include <lbw/base.h>

#include <string.h>

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

void lbw_text_mend(char *out, size_t size, const char *text)
{
    if (!size)
        return;
    while (*text) {
        size_t length = character_size((const unsigned char *)text);
        const char *from = length ? text : REPLACEMENT;
        size_t put = length ? length : strlen(REPLACEMENT);
        if (put >= size)
            break;
        memcpy(out, from, put);
        out += put;
        size -= put;
        text += length ? length : 1;
    }
    *out = '\0';
}
