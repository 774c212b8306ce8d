//! Colours, light and dark as the reader has it: of Okabe and Ito, which nearly everybody tells apart.

pub(super) const CSS: &str = "\
svg{font:12px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:var(--ink);\
--page:#fff;--ink:#1b1f24;--faint:#57606a;--grid:#1b1f2418;--blue:#0072b2;--orange:#d55e00;\
--green:#00795a}\
@media (prefers-color-scheme:dark){svg{--page:#15181c;--ink:#e6e9ed;--faint:#9aa4af;\
--grid:#ffffff1c;--blue:#56b4e9;--orange:#f0a03c;--green:#2fd3a2}}\
.page{fill:var(--page)}.title{font-size:16px;font-weight:600}.name{font-size:13px;font-weight:600}\
.note,.rate,.time,.zone,.now{fill:var(--faint);font-size:11px}\
.rate,.zone,.left{text-anchor:end}.time{text-anchor:middle}\
path{fill:none}.grid{stroke:var(--grid)}.axis{stroke:var(--faint)}\
.booked{fill:var(--blue);fill-opacity:.62}.ahead{fill:var(--blue);fill-opacity:.3}\
.band{fill:var(--blue);fill-opacity:.16}.unknown{fill:url(#hatch)}\
.hatch{stroke:var(--faint);stroke-opacity:.5}\
.capacity{stroke:var(--ink);stroke-width:1.6}.used{stroke:var(--orange);stroke-width:2}\
.observed{stroke:var(--green);stroke-width:1.8;stroke-dasharray:2 3}\
.expected{stroke:var(--orange);stroke-width:2}\
.nowline{stroke:var(--ink);stroke-dasharray:3 3}";

/// The hatching of what is not known.
pub(super) const DEFS: &str = "\
<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V6\"/></pattern></defs>\n";
