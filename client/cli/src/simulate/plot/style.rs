//! Colours of a picture, light and dark as its reader has it, and what they mean.

/// What does not depend on how full a lane is.
pub(super) const HEAD_STYLE: &str = "\
svg{font:11px sans-serif;fill:#222;--page:#fff;--line:#00000026;--faint:#555;--hatch:#d9480f}\
.page{fill:var(--page)}.head{font-size:14px}.name,.end{text-anchor:end}.tick{text-anchor:middle}\
.tick,.note{fill:var(--faint)}.tick.end{text-anchor:end}.line{stroke:var(--line)}\
.axis{stroke:var(--faint)}.lost{fill:url(#hatch)}.hatch{stroke:var(--hatch);stroke-width:1.5}\
.over{fill:#e03131}\
@media (prefers-color-scheme:dark){svg{fill:#ddd;--page:#15181c;--line:#ffffff26;--faint:#999;\
--hatch:#ff922b}}";

/// What is below everything else, and the hatching of what is lost.
pub(super) const LEGEND: &str = "\
<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V6\"/></pattern></defs>\n\
<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n";

/// Red, green and blue of nothing and of all, on white and on black.
const LIGHT: [[u64; 2]; 3] = [[240, 8], [244, 48], [249, 107]];
const DARK: [[u64; 2]; 3] = [[32, 140], [38, 200], [46, 255]];

/// A class for each shade: every part goes evenly from nothing to all.
pub(super) fn ramp(shades: u64, dark: bool) -> String {
    let part = |[nothing, all]: [u64; 2], shade: u64| {
        (nothing * (shades - shade) + all * shade) / shades.max(1)
    };
    let class = |shade: u64| {
        let [red, green, blue] = if dark { DARK } else { LIGHT }.map(|ends| part(ends, shade));
        format!(".s{shade}{{fill:#{red:02x}{green:02x}{blue:02x}}}")
    };
    (0..=shades).map(class).collect()
}

/// What the colours mean, in a line.
pub(super) fn legend(shades: u64) -> String {
    const SIDE: u64 = 10;
    let box_at = |class: &str, x: u64| {
        format!("<rect class=\"{class}\" x=\"{x}\" width=\"{SIDE}\" height=\"{SIDE}\"/>")
    };
    let note = |x: u64, text: &str| format!("<text class=\"note\" x=\"{x}\" y=\"9\">{text}</text>");
    let (from, mut out) = (50, note(0, "nothing"));
    out.extend((0..=shades).map(|shade| box_at(&format!("s{shade}"), from + shade * SIDE)));
    let end = from + (shades + 1) * SIDE;
    out.push_str(&note(end + 8, "all that a lane carries at its best"));
    out.push_str(&box_at("over", end + 210));
    out.push_str(&note(end + 226, "more than all"));
    out.push_str(&box_at("s0", end + 320));
    out.push_str(&box_at("lost", end + 320));
    out.push_str(&note(end + 336, "capacity is lost"));
    out
}
