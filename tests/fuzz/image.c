/* SPDX-License-Identifier: MIT */
/* Fuzz target: whatever an image's header says, every promised pixel is there, and few bytes
 * cannot ask for much memory. */
#include <lbw/image.h>

#include "fuzz.h"

/* Of a sane reader: what Huffman codes and deflate can do at best, see MAX_PIXELS_PER_BYTE. */
#define MAX_RATIO 8256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lbw_image image = {0};
    struct lbw_error err = {0};
    if (size >= 2 && data[0] == 0x1f && data[1] == 0x8b)
        return 0; /* gzip makes another size of it */
    if (lbw_image_read(&image, fuzz_file(data, size), &err) != LBW_OK) {
        if (image.pixels || !*err.message)
            abort();
        return 0;
    }
    if (image.width < 1 || image.height < 1)
        abort();
    size_t num = (size_t)image.width * (size_t)image.height;
    if (num / MAX_RATIO > size)
        abort();
    unsigned char last = 0;
    for (size_t i = 0; i < 3 * num; i++)
        last ^= image.pixels[i];
    volatile unsigned char sink = last; /* so that the bytes are read */
    (void)sink;
    lbw_image_release(&image);
    return 0;
}
