/* SPDX-License-Identifier: MIT */
/* How pages look: light and dark, narrow and wide. */
#ifndef LBW_SRC_PAGE_STYLE_H
#define LBW_SRC_PAGE_STYLE_H

/* Every rule is below .lbw-page, so that a fragment leaves the page around it alone. */
static const char style[] =
    ".lbw-page{--back:#fff;--text:#1c2128;--dim:#57606a;--line:#d8dee4;--card:#f6f8fa;"
    "--one:#1f6feb;--two:#84b1f0;--bad:#b3261e;--warn:#8a5a00;--keep:#a8b0b8;"
    "color-scheme:light dark;background:var(--back);color:var(--text);"
    "font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1rem;"
    "box-sizing:border-box}\n"
    "@media(prefers-color-scheme:dark){.lbw-page{--back:#0d1117;--text:#e6edf3;--dim:#9da7b1;"
    "--line:#30363d;--card:#161b22;--one:#58a6ff;--two:#2f6199;--bad:#ff8f86;--warn:#e3b341;"
    "--keep:#6e7681}}\n"
    ".lbw-page *{box-sizing:border-box}\n"
    ".lbw-page h1{font-size:1.5rem;line-height:1.25;margin:0;overflow-wrap:anywhere}\n"
    ".lbw-page h2{font-size:1.1rem;margin:2rem 0 .25rem}\n"
    ".lbw-page p{margin:.25rem 0;color:var(--dim);overflow-wrap:anywhere}\n"
    ".lbw-page .cards{display:grid;gap:.75rem;margin:1rem 0;"
    "grid-template-columns:repeat(auto-fit,minmax(10rem,1fr))}\n"
    ".lbw-page .cards div{background:var(--card);border:1px solid var(--line);"
    "border-radius:.5rem;padding:.75rem}\n"
    ".lbw-page .cards b{display:block;font-size:1.5rem;line-height:1.3}\n"
    ".lbw-page .cards span{display:block;color:var(--dim);font-size:.875rem}\n"
    ".lbw-page .chart{display:grid;grid-template-columns:auto 1fr;gap:0 .5rem;margin:.5rem 0}\n"
    ".lbw-page .axis{display:flex;flex-direction:column;justify-content:space-between;"
    "text-align:right;min-width:2.5rem;font-size:.8rem;line-height:1;color:var(--dim);"
    "font-variant-numeric:tabular-nums}\n"
    ".lbw-page svg{display:block;width:100%;height:8rem;border-bottom:1px solid var(--line);"
    "border-top:1px dashed var(--line)}\n"
    ".lbw-page svg.low{height:1.5rem;border:0}\n"
    ".lbw-page .ends{grid-column:2;display:flex;justify-content:space-between;gap:1rem;"
    "font-size:.8rem;color:var(--dim)}\n"
    ".lbw-page .key{display:inline-block;width:.75rem;height:.75rem;margin:0 .3rem 0 .75rem;"
    "border-radius:2px;vertical-align:-1px}\n"
    ".lbw-page .key:first-child{margin-left:0}\n"
    ".lbw-page .one{fill:var(--one);background:var(--one)}"
    ".lbw-page .two{fill:var(--two);background:var(--two)}"
    ".lbw-page .keep{fill:var(--keep);background:var(--keep)}"
    ".lbw-page .bad{fill:var(--bad);background:var(--bad)}"
    ".lbw-page .warn{fill:var(--warn);background:var(--warn)}"
    ".lbw-page .hit{fill:transparent}"
    ".lbw-page g:hover .hit{fill:var(--dim);fill-opacity:.25}\n"
    ".lbw-page .wide{overflow-x:auto}\n"
    ".lbw-page table{border-collapse:collapse;font-size:.875rem;width:100%}\n"
    ".lbw-page th,.lbw-page td{padding:.25rem .6rem;text-align:right;white-space:nowrap;"
    "border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}\n"
    ".lbw-page th{color:var(--dim);font-weight:600}\n"
    ".lbw-page .name{text-align:left;max-width:20rem;overflow:hidden;text-overflow:ellipsis}\n"
    ".lbw-page summary{cursor:pointer;margin-top:1.5rem;font-weight:600}\n";

#endif
