"""The families of poster compositions: each paints one 400 × 500 ground from a palette and dice.

A composition returns SVG elements without text, and says where the lettering may stand.
Shapes of one colour share one path, which keeps a poster under about 3 kB.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, hypot, pi, sin

from services.gateway.web.dice import Dice

WIDTH, HEIGHT = 400, 500


@dataclass(frozen=True)
class Palette:
    """Colours of one poster: `ink` is legible on `ground`, by 7:1 or more."""

    ground: str
    ink: str
    first: str
    second: str


@dataclass(frozen=True)
class Art:
    """A painted ground, and the box that the artist's name may fill (`top` to `bottom`, in units)."""

    shapes: str
    top: int
    bottom: int
    colossal: bool = False  # the name is the picture: letters as large as the box allows


Composition = Callable[[Palette, Dice], Art]

PALETTES = (
    Palette("#171130", "#fff4e4", "#ff5c5c", "#ffb45c"),
    Palette("#f4e9d8", "#1b1a2b", "#e4572e", "#2a5da8"),
    Palette("#0c2b2e", "#f6f2df", "#f2b632", "#3fa796"),
    Palette("#ffd23f", "#1a1423", "#ee4266", "#3a1f5d"),
    Palette("#101820", "#f2f7f5", "#2ec4b6", "#e71d63"),
    Palette("#2b0f24", "#ffeef2", "#ff7096", "#ffc857"),
    Palette("#e9f0ef", "#10222c", "#0b7a75", "#f25f4c"),
    Palette("#20104a", "#f7f0ff", "#8f5bff", "#37e0c8"),
    Palette("#7a1420", "#fff1dc", "#ff9b54", "#2c0b16"),
    Palette("#0e1f4d", "#eef4ff", "#4f9dff", "#ffe066"),
    Palette("#1c3a1e", "#f5f8e8", "#a8d65c", "#f0803c"),
    Palette("#ff6f59", "#1d0f16", "#43162f", "#ffe8c9"),
)


def type_heavy(palette: Palette, dice: Dice) -> Art:
    """One bold form behind letters that fill the sheet."""
    x, y, r = dice.between(60, 340), dice.between(90, 260), dice.between(110, 180)
    tilt = dice.between(-60, 60)
    bar = f"M-20 {300 + tilt}L420 {300 - tilt}V{372 - tilt}L-20 {372 + tilt}Z"
    shapes = f'<circle cx="{x}" cy="{y}" r="{r}" fill="{palette.first}"/>' + _path(bar, palette.second)
    return Art(shapes, 40, 440, colossal=True)


def geometric(palette: Palette, dice: Dice) -> Art:
    """Tiles of quarter circles, discs and wedges, four across."""
    layers = {palette.first: "", palette.second: "", palette.ink: ""}
    for index in range(12):
        x, y = index % 4 * 100, index // 4 * 100
        colour = dice.pick((palette.first, palette.second, palette.first, palette.second, palette.ink))
        layers[colour] += _tile(x, y, dice.below(6))
    return Art("".join(_path(d, colour) for colour, d in layers.items()), 316, 446)


def _tile(x: int, y: int, kind: int) -> str:
    return (
        f"M{x} {y}h100a100 100 0 0 1-100 100z",
        f"M{x + 100} {y + 100}h-100a100 100 0 0 1 100-100z",
        f"M{x} {y + 50}a50 50 0 0 1 100 0a50 50 0 0 1-100 0z",
        f"M{x} {y}l100 100h-100z",
        f"M{x} {y + 50}a50 50 0 0 1 100 0z",
        f"M{x + 34} {y}h33v100h-33zM{x} {y + 34}h100v33h-100z",
    )[kind]


def halftone(palette: Palette, dice: Dice) -> Art:
    """A disc printed in dots that shrink with the distance from the light."""
    light = dice.between(80, 320), dice.between(60, 220)
    sizes: dict[int, str] = {}
    for row in range(19):
        for column in range(21):
            x, y = column * 20 + (row % 2) * 10, row * 18
            weight = round(19 - hypot(x - light[0], y - light[1]) / 15)
            if weight > 1:
                sizes[weight] = sizes.get(weight, "") + f"M{x} {y}h0"
    dots = "".join(f'<path stroke-width="{size}" d="{d}"/>' for size, d in sizes.items())
    disc = f'<circle cx="{light[0]}" cy="{light[1]}" r="{dice.between(56, 84)}" fill="{palette.second}"/>'
    return Art(f'<g stroke="{palette.first}" stroke-linecap="round">{dots}</g>{disc}', 330, 446)


def waves(palette: Palette, dice: Dice) -> Art:
    """A low sun over long swells."""
    x, y, r = dice.between(110, 290), dice.between(110, 170), dice.between(54, 84)
    sun = f'<circle cx="{x}" cy="{y}" r="{r}" fill="{palette.second}"/>'
    swells = "".join(_swell(palette, dice, index) for index in range(6))
    return Art(sun + swells, 330, 446)


def _swell(palette: Palette, dice: Dice, index: int) -> str:
    top, lift = 150 + index * 28, dice.between(14, 34)
    if index % 2:
        lift = -lift
    crest = f"M0 {top}q50 {-lift} 100 0t100 0t100 0t100 0V500H0z"
    if index == 5:
        return _path(crest, palette.ground)
    colour = palette.first if index % 2 == 0 else palette.ground
    return _path(crest, colour)


def rays(palette: Palette, dice: Dice) -> Art:
    """A burst of beams from one point, around a disc."""
    x, y, count = dice.between(120, 280), dice.between(120, 200), dice.pick((9, 12, 16))
    turn = dice.below(60) / 60
    beams = ""
    for beam in range(count):
        start, end = ((beam + part + turn) * 2 * pi / count for part in (0, 0.5))
        beams += f"M{x} {y}L{_polar(x, y, start, 600)}L{_polar(x, y, end, 600)}z"
    radius = dice.between(58, 88)
    discs = f'<circle cx="{x}" cy="{y}" r="{radius + 16}" fill="{palette.ground}"/>'
    discs += f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{palette.second}"/>'
    return Art(_path(beams, palette.first) + discs + _foot(palette, 318), 330, 446)


def rings(palette: Palette, dice: Dice) -> Art:
    """Grooves of a record that runs off the sheet."""
    x, y = dice.pick((30, 200, 370)), dice.between(110, 190)
    grooves = "".join(
        f'<circle cx="{x}" cy="{y}" r="{r}" stroke-width="{dice.between(3, 13)}"/>' for r in range(84, 300, 24)
    )
    label = f'<circle cx="{x}" cy="{y}" r="64" fill="{palette.second}"/>'
    label += f'<circle cx="{x}" cy="{y}" r="12" fill="{palette.ground}"/>'
    lines = f'<g fill="none" stroke="{palette.first}">{grooves}</g>'
    return Art(lines + label + _foot(palette, 318), 330, 446)


def columns(palette: Palette, dice: Dice) -> Art:
    """Bars of an equaliser, in two colours, over their own shadow."""
    near, far = "", ""
    for column in range(8):
        height = dice.between(2, 10) * 28
        x = 20 + column * 46
        far += f"M{x} {306 - min(292, height + 28)}h38v{min(292, height + 28)}h-38z"
        near += f"M{x} {306 - height}h38v{height}h-38z"
    return Art(_path(far, palette.second) + _path(near, palette.first), 326, 446)


def weave(palette: Palette, dice: Dice) -> Art:
    """Diamonds in rows, each row stepping the colours on."""
    layers = {palette.first: "", palette.second: "", palette.ink: ""}
    order = (palette.first, palette.second, palette.ink)
    shift, size = dice.below(3), dice.pick((40, 50))
    for row in range(300 // size):
        for column in range(400 // size):
            x, y, half = column * size + size // 2, row * size + size // 2, size // 2 - dice.below(3) * 6
            colour = order[(row + column * (1 + shift) + shift) % 3]
            layers[colour] += f"M{x} {y - half}l{half} {half}l{-half} {half}l{-half} {-half}z"
    return Art("".join(_path(d, colour) for colour, d in layers.items()), 316, 446)


FAMILIES: dict[str, Composition] = {
    "type": type_heavy,
    "geometric": geometric,
    "halftone": halftone,
    "waves": waves,
    "rays": rays,
    "rings": rings,
    "columns": columns,
    "weave": weave,
}


def _polar(x: int, y: int, angle: float, radius: int) -> str:
    return f"{x + round(cos(angle) * radius)} {y + round(sin(angle) * radius)}"


def _foot(palette: Palette, top: int) -> str:
    """A calm band to set the lettering on, where the picture would run behind it."""
    return f'<path fill="{palette.ground}" d="M0 {top}H{WIDTH}V{HEIGHT}H0z"/>'


def _path(d: str, colour: str) -> str:
    return f'<path fill="{colour}" d="{d}"/>' if d else ""
