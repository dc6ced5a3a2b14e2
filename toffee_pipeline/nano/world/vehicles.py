"""Geometry of vehicles. Each builder draws one shape; parts are named as in REMOVABLE."""

from __future__ import annotations

import numpy as np

from .palette import DARK, GLASS, GLOW, SECOND, THIRD, WHITE
from .primitives import box, combined, cylinder, dome, frustum, rotation, sphere
from .shapes import Draw, Shape


def toy_car(draw: Draw) -> Shape:
    length, half, cabin = draw(0.62, 0.75), draw(0.15, 0.2), draw(0.32, 0.42)
    x, roof, part = draw(-0.02, 0.12), 0.2 + 2 * half, "wheels"
    body = [
        box((0, 0, 0.2 + half), (length, 0.36, half)),
        box((x, 0, roof + 0.15), (cabin, 0.31, 0.15), SECOND),
        box((x, 0, roof + 0.15), (cabin + 0.012, 0.25, 0.1), GLASS),
        box((x, 0, roof + 0.15), (cabin * 0.8, 0.322, 0.1), GLASS),
        box((x, 0, roof + 0.15), (0.03, 0.327, 0.11), SECOND),
        sphere((-length, 0.22, 0.22 + half), 0.085, WHITE),
        sphere((-length, -0.22, 0.22 + half), 0.085, WHITE),
        box((0, 0, 0.21), (length + 0.05, 0.33, 0.045), THIRD),
    ]
    wheels = []
    for wheel in (-0.6 * length, 0.6 * length):
        for side in (-1, 1):
            wheels.append(cylinder((wheel, side * 0.36, 0.19), 0.19, 0.07, DARK, part, "y"))
            wheels.append(cylinder((wheel, side * 0.4, 0.19), 0.09, 0.05, WHITE, part, "y"))
    return Shape(body + wheels, (x, 0, roof + 0.3))


def toy_train(draw: Draw) -> Shape:
    boiler, radius, part = draw(0.42, 0.5), draw(0.23, 0.28), "a chimney"
    nose = 0.3 - 2 * boiler
    body = [
        cylinder((0.3 - boiler, 0, 0.55), radius, boiler, axis="x"),
        cylinder((nose, 0, 0.55), radius * 0.8, 0.03, THIRD, axis="x"),
        box((0.48, 0, 0.66), (0.24, 0.3, 0.36), SECOND),
        box((0.48, 0, 1.05), (0.31, 0.36, 0.05), THIRD),
        box((0.48, 0, 0.78), (0.14, 0.31, 0.13), GLASS),
        box((0.48, 0, 0.78), (0.25, 0.18, 0.13), GLASS),
        box((0.02, 0, 0.27), (0.72, 0.24, 0.07), DARK),
        sphere((0.08, 0, 0.55 + radius), 0.1, THIRD),
        sphere((nose - 0.03, 0, 0.58), 0.07, GLOW),
        frustum((nose - 0.02, 0, 0.13), 0.26, 0.1, 0.12, SECOND),
    ]
    chimney = [
        frustum((nose + 0.22, 0, 0.55 + radius + 0.13), 0.09, 0.11, 0.16, SECOND, part),
        frustum((nose + 0.22, 0, 0.55 + radius + 0.33), 0.12, 0.19, 0.07, THIRD, part),
    ]
    wheels = [cylinder((x, y, 0.16), 0.16, 0.06, THIRD, axis="y") for x in (-0.38, 0.02, 0.5) for y in (-0.26, 0.26)]
    return Shape(body + chimney + wheels, (0.48, 0, 1.1))


def boat(draw: Draw) -> Shape:
    length, width, part = draw(0.64, 0.74), draw(0.3, 0.36), "sails"
    tall, small = draw(0.42, 0.48), draw(0.3, 0.36)
    hull = [
        dome((0, 0, 0.17), (length, width, 0.17), upside_down=True),
        dome((0, 0, 0.31), (length * 1.03, width * 1.06, 0.045), SECOND, upside_down=True),
        dome((0, 0, 0.35), (length * 0.88, width * 0.8, 0.012), WHITE),
        cylinder((-0.04, 0, 0.34 + tall), 0.035, tall + 0.06, DARK),
    ]
    swing = rotation("z", 0.45)
    lean = np.arctan2(0.44, 2 * tall)
    sails = [
        frustum(
            (0.22, 0.07, 0.46 + tall), 0.44, 0.0, tall, SECOND, part, "z", combined(swing, rotation("y", -lean)), 0.09
        ),
        frustum(
            (-0.26, -0.09, 0.46 + small),
            0.34,
            0.0,
            small,
            THIRD,
            part,
            "z",
            combined(swing, rotation("y", np.arctan2(0.34, 2 * small))),
            0.09,
        ),
    ]
    return Shape(hull + sails, (-0.04, 0, 0.38 + 2 * tall))


def rocket(draw: Draw) -> Shape:
    half, radius, part = draw(0.36, 0.44), draw(0.27, 0.33), "fins"
    top = 0.24 + 2 * half
    body = [
        cylinder((0, 0, 0.24 + half), radius, half),
        frustum((0, 0, top + 0.2), radius, 0.03, 0.2, SECOND),
        cylinder((0, 0, top), radius * 1.04, 0.03, THIRD),
        frustum((0, 0, 0.15), radius * 0.95, radius * 0.6, 0.09, DARK),
    ]
    for angle in (0.0, 2.094, 4.189):
        out = np.array([-np.cos(angle), -np.sin(angle)]) * radius
        window = (*out, 0.24 + 1.45 * half)
        body.append(sphere(window, 0.12, THIRD))
        body.append(sphere((*(out * 1.15), window[2]), 0.095, GLASS))
    fins = []
    for angle in np.arange(4) * (np.pi / 2) + 0.5:
        out = np.array([np.cos(angle), np.sin(angle)]) * (radius + 0.06)
        turn = combined(rotation("z", angle), rotation("y", 0.3))
        fins.append(frustum((*out, 0.35), 0.36, 0.0, 0.35, SECOND, part, "z", turn, 0.13))
    return Shape(body + fins, (0, 0, top + 0.37))


def airplane(draw: Draw) -> Shape:
    span, chord, part = draw(0.66, 0.76), draw(0.19, 0.23), "wings"
    z = 0.46
    body = [
        sphere((0, 0, z), (0.74, 0.26, 0.26)),
        sphere((-0.34, 0, z + 0.15), (0.21, 0.14, 0.14), GLASS),
        box((0.62, 0, z + 0.05), (0.1, 0.3, 0.025), THIRD),
        box((0.64, 0, z + 0.26), (0.13, 0.035, 0.22), THIRD, turn=rotation("y", 0.3)),
        sphere((-0.76, 0, z), 0.08, DARK),
        box((-0.79, 0, z), (0.015, 0.045, 0.3), THIRD, turn=rotation("x", 0.6)),
        box((-0.79, 0, z), (0.015, 0.045, 0.3), THIRD, turn=rotation("x", 0.6 + np.pi / 2)),
    ]
    for side in (-1, 1):
        body.append(cylinder((-0.2, side * 0.16, 0.1), 0.1, 0.04, DARK, axis="y"))
        body.append(cylinder((-0.2, side * 0.13, 0.22), 0.025, 0.12, DARK))
    wings = [
        box((-0.08, 0, z - 0.04), (chord, span, 0.035), SECOND, part),
        box((-0.08, 0, z - 0.04), (chord * 0.99, span * 0.72, 0.037), THIRD, part),
        box((-0.08, 0, z - 0.04), (chord * 0.995, span * 0.55, 0.039), SECOND, part),
    ]
    return Shape(body + wings, (0.08, 0, z + 0.23))
