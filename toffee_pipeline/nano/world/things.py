"""Geometry of household things, food and plants. Each builder draws one shape; parts are named as in REMOVABLE."""

from __future__ import annotations

import numpy as np

from .palette import DARK, GLASS, GLOW, LEAF, MAIN, SECOND, THIRD, WHITE
from .primitives import box, combined, cylinder, dome, frustum, rotation, sphere
from .shapes import Draw, Shape


def mug(draw: Draw) -> Shape:
    height, radius = draw(0.75, 0.95), draw(0.38, 0.46)
    reach, part = radius + draw(0.27, 0.33), "a handle"
    cup = [
        frustum((0, 0, height / 2), radius * draw(0.85, 1), radius, height / 2),
        cylinder((0, 0, height), radius * 0.88, 0.012, DARK),
        cylinder((0, 0, 0.03), radius, 0.03, THIRD),
    ]
    bar, middle = (reach - radius * 0.9) / 2, (radius * 0.9 + reach) / 2
    handle = [cylinder((0, reach, height * 0.53), 0.085, height * 0.25, SECOND, part)]
    for z in (height * 0.28, height * 0.78):
        handle.append(cylinder((0, middle, z), 0.085, bar, SECOND, part, "y"))
        handle.append(sphere((0, reach, z), 0.085, SECOND, part))
    return Shape(cup + handle, (0, 0, height))


def teapot(draw: Draw) -> Shape:
    radius = draw(0.42, 0.5)
    z, part = radius * draw(0.78, 0.98), "a spout"
    pot = [
        sphere((0, 0, z), (radius, radius, z)),
        cylinder((0, 0, 0.03), radius * 0.6, 0.04, THIRD),
        dome((0, 0, 1.93 * z), (radius * 0.5, radius * 0.5, 0.07), THIRD),
        sphere((0, 0, 1.93 * z + 0.12), 0.08, THIRD),
        cylinder((radius + 0.1, 0, z * 1.42), 0.055, 0.18, SECOND, axis="x"),
        cylinder((radius + 0.1, 0, z * 0.62), 0.055, 0.18, SECOND, axis="x"),
        cylinder((radius + 0.28, 0, z * 1.02), 0.055, z * 0.42, SECOND),
    ]
    spout = [
        frustum((-radius - 0.12, 0, z * 1.1), 0.15, 0.07, 0.32, SECOND, part, turn=rotation("y", -0.75)),
        sphere((-radius - 0.33, 0, z * 1.1 + 0.24), 0.075, SECOND, part),
    ]
    return Shape(pot + spout, (0, 0, 1.93 * z + 0.19))


def chair(draw: Draw) -> Shape:
    half, seat, back, part = draw(0.34, 0.4), draw(0.45, 0.55), draw(0.36, 0.44), "armrests"
    edge, top = half * 0.88, seat + 2 * back
    frame = [
        box((0, 0, seat), (half, half, 0.07)),
        box((edge, 0, top - 0.14), (0.05, half, 0.15)),
        box((edge, 0, seat + 0.3), (0.04, half, 0.06), THIRD),
        box((edge, half * 0.9, seat + back), (0.055, 0.055, back), SECOND),
        box((edge, -half * 0.9, seat + back), (0.055, 0.055, back), SECOND),
    ]
    frame += [box((x, y, seat / 2), (0.055, 0.055, seat / 2), SECOND) for x in (-edge, edge) for y in (-edge, edge)]
    arms = []
    for side in (-1, 1):
        arms.append(box((0, side * half, seat + 0.3), (half * 1.05, 0.06, 0.045), THIRD, part))
        arms.append(box((-edge, side * half, seat + 0.15), (0.05, 0.05, 0.15), THIRD, part))
    return Shape(frame + arms, (edge, 0, top + 0.01))


def lamp(draw: Draw) -> Shape:
    half, radius, part = draw(0.36, 0.45), draw(0.36, 0.45), "a lampshade"
    top = 2 * half + 0.04
    stand = [
        frustum((0, 0, 0.07), 0.33, 0.2, 0.07),
        cylinder((0, 0, half), 0.05, half, SECOND),
        sphere((0, 0, half * draw(0.7, 1.0)), 0.12, THIRD),
        sphere((0, 0, top + 0.1), 0.14, GLOW),
    ]
    shade = [
        frustum((0, 0, top + 0.14), radius, radius * draw(0.5, 0.7), 0.25, MAIN, part),
        cylinder((0, 0, top - 0.1), radius * 1.02, 0.025, THIRD, part),
    ]
    return Shape(stand + shade, (0, 0, top + 0.39))


def house(draw: Draw) -> Shape:
    width, depth, half = draw(0.4, 0.48), draw(0.38, 0.48), draw(0.3, 0.36)
    roof, part = width * 1.2, "a chimney"
    side = roof / np.sqrt(2)
    walls = [
        box((0, 0, half), (depth, width, half)),
        box((0, 0, 2 * half - 0.03), (depth * 1.12, side, side), SECOND, turn=rotation("x", np.pi / 4)),
        box((-depth, 0, half * 0.6), (0.025, 0.11, half * 0.6), THIRD),
        box((depth, 0, half * 0.6), (0.025, 0.11, half * 0.6), THIRD),
        sphere((-depth * 1.12, 0, 2 * half + roof * 0.38), 0.1, GLASS),
        sphere((depth * 1.12, 0, 2 * half + roof * 0.38), 0.1, GLASS),
    ]
    for face in (-1, 1):
        walls += [box((face * depth, y * width, half * 1.1), (0.02, 0.095, 0.1), GLASS) for y in (-0.6, 0.6)]
        walls += [box((x * depth, face * width, half * 1.05), (0.1, 0.02, 0.11), GLASS) for x in (-0.5, 0.5)]
    stack = [
        box((depth * 0.5, width * 0.55, 2 * half + roof * 0.7), (0.1, 0.1, roof * 0.4), THIRD, part),
        box((depth * 0.5, width * 0.55, 2 * half + roof * 1.1), (0.125, 0.125, 0.04), DARK, part),
    ]
    return Shape(walls + stack, (-depth * 0.3, 0, 2 * half + roof - 0.07))


def mushroom(draw: Draw) -> Shape:
    height, radius, cap, part = draw(0.5, 0.62), draw(0.46, 0.54), draw(0.2, 0.25), "leaves"
    body = [
        frustum((0, 0, height / 2), 0.22, 0.15, height / 2, SECOND),
        dome((0, 0, height + cap), (radius, radius, cap)),
        cylinder((0, 0, height), radius * 0.97, 0.02, WHITE),
        cylinder((0, 0, height * 0.62), 0.22, 0.025, THIRD),
    ]
    leaves = []
    for angle in np.arange(3) * 2.094 + 0.4:
        out = np.array([np.cos(angle), np.sin(angle)]) * 0.28
        turn = combined(rotation("z", angle), rotation("y", -0.75))
        leaves.append(sphere((*out, 0.16), (0.24, 0.12, 0.045), LEAF, part, turn))
    return Shape(body + leaves, (0, 0, height + 2 * cap))


def cake(draw: Draw) -> Shape:
    radius, tier, part = draw(0.46, 0.54), draw(0.17, 0.21), "candles"
    ledge = 0.08 + 2 * tier
    small, top = radius * draw(0.6, 0.68), ledge + 0.1 + 1.7 * tier
    body = [
        cylinder((0, 0, 0.03), radius * 1.2, 0.03, WHITE),
        cylinder((0, 0, 0.06 + tier), radius, tier),
        cylinder((0, 0, ledge), radius * 1.04, 0.05, SECOND),
        cylinder((0, 0, ledge + 0.85 * tier), small, 0.85 * tier),
        cylinder((0, 0, top - 0.08), small * 1.05, 0.045, SECOND),
    ]
    for angle in np.arange(8) * (np.pi / 4):
        out = np.array([np.cos(angle), np.sin(angle)]) * radius * 0.88
        body.append(sphere((*out, ledge + 0.07), 0.065, THIRD))
    candles = []
    for angle in np.arange(4) * (np.pi / 2) + 0.3:
        x, y = np.cos(angle) * small * 0.75, np.sin(angle) * small * 0.75
        candles.append(cylinder((x, y, top + 0.09), 0.045, 0.13, THIRD, part))
        candles.append(sphere((x, y, top + 0.28), (0.05, 0.05, 0.08), GLOW, part))
    return Shape(body + candles, (0, 0, top - 0.035))


def vase(draw: Draw) -> Shape:
    radius, z, part = draw(0.34, 0.4), draw(0.34, 0.39), "flowers"
    rim = 2 * z + 0.1
    pot = [
        sphere((0, 0, z), (radius, radius, z)),
        frustum((0, 0, 2 * z), radius * 0.42, radius * 0.6, 0.12),
        cylinder((0, 0, rim), radius * 0.64, 0.03, SECOND),
        cylinder((0, 0, 0.03), radius * 0.65, 0.04, SECOND),
    ]
    flowers = []
    for angle in np.arange(3) * 2.094 + 0.5:
        out = np.array([np.cos(angle), np.sin(angle)])
        lean = combined(rotation("z", angle), rotation("y", 1.0))
        flowers.append(cylinder((*(out * 0.17), rim + 0.09), 0.03, 0.18, LEAF, part, turn=lean))
        flowers.append(sphere((*(out * 0.35), rim + 0.2), (0.15, 0.15, 0.11), THIRD, part))
        flowers.append(sphere((*(out * 0.38), rim + 0.27), 0.075, GLOW, part))
    return Shape(pot + flowers, (0, 0, rim + 0.1))
