"""Operations a second of each system as bars, on a logarithmic scale, in one SVG."""

import html
import math

WIDTH, ROW, LEFT, TOP = 900, 22, 260, 40


def svg(title, rows):
    """`rows`: (name, operations a second, spread as a share)."""
    most = max(rate for _, rate, _ in rows)
    decades = math.ceil(math.log10(most))
    lowest = min(math.floor(math.log10(max(rate, 1))) for _, rate, _ in rows)
    scale = (WIDTH - LEFT - 90) / max(decades - lowest, 1)
    height = TOP + ROW * len(rows) + 30

    def x(rate):
        return LEFT + (math.log10(max(rate, 10 ** lowest)) - lowest) * scale

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
             f'font-size="12"><rect width="100%" height="100%" fill="white"/>'
             f'<text x="10" y="20" font-size="14">{html.escape(title)}</text>']
    for decade in range(lowest, decades + 1):
        at = x(10 ** decade)
        parts.append(f'<line x1="{at:.1f}" y1="{TOP - 8}" x2="{at:.1f}" y2="{height - 22}" stroke="#ddd"/>'
                     f'<text x="{at:.1f}" y="{height - 8}" text-anchor="middle" fill="#666">{10 ** decade:,}</text>')
    for i, (name, rate, spread) in enumerate(rows):
        y = TOP + i * ROW
        colour = "#2b6cb0" if name.startswith("annulus") else "#a0aec0"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{html.escape(name)}</text>'
                     f'<rect x="{LEFT}" y="{y + 3}" width="{x(rate) - LEFT:.1f}" height="{ROW - 8}" fill="{colour}"/>'
                     f'<text x="{x(rate) + 6:.1f}" y="{y + 13}">{rate:,.0f} ± {spread:.0%}</text>')
    return "\n".join([*parts, "</svg>"])
