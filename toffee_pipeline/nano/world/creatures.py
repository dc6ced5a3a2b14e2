"""Geometry of animals and characters. Each builder draws one shape; parts are named as in REMOVABLE."""

from __future__ import annotations

from .palette import DARK, GLOW, MAIN, SECOND, THIRD, WHITE
from .primitives import box, combined, cylinder, frustum, rotation, sphere
from .shapes import Draw, Shape, eye


def teddy_bear(draw: Draw) -> Shape:
    belly, head, ear = draw(0.3, 0.36), draw(0.28, 0.33), draw(0.12, 0.15)
    z, part = belly + 0.1, "ears"
    face = z + belly + head * 0.7
    body = [
        sphere((0, 0, z), (belly * 0.9, belly, belly * 1.1)),
        sphere((-belly * 0.5, 0, z), (belly * 0.5, belly * 0.65, belly * 0.75), SECOND),
        sphere((0, 0, face), head),
        sphere((-head * 0.82, 0, face - 0.08), (0.13, 0.14, 0.11), SECOND),
        sphere((-head * 1.22, 0, face - 0.04), 0.055, DARK),
    ]
    for side in (-1, 1):
        body += eye((-head * 0.8, side * 0.12, face + 0.1), 0.065)
        arm = rotation("x", side * 0.5)
        body.append(sphere((-0.12, side * belly * 1.08, z + 0.1), (0.13, 0.12, 0.25), turn=arm))
        body.append(sphere((-0.3, side * belly * 0.75, 0.14), (0.24, 0.14, 0.14)))
        body.append(sphere((-0.5, side * belly * 0.75, 0.15), (0.06, 0.1, 0.1), THIRD))
    ears = []
    for side in (-1, 1):
        ears.append(sphere((0, side * head * 0.8, face + head * 0.75), ear, MAIN, part))
        ears.append(sphere((-ear * 0.6, side * head * 0.8, face + head * 0.75), ear * 0.65, THIRD, part))
    return Shape(body + ears, (0, 0, face + head))


def cat(draw: Draw) -> Shape:
    length, z, head = draw(0.38, 0.46), draw(0.42, 0.48), draw(0.27, 0.31)
    face, front, part = z + 0.3, -length - 0.08, "a tail"
    body = [
        sphere((0, 0, z), (length, 0.23, 0.23)),
        sphere((front, 0, face), (head * 0.9, head * 1.05, head * 0.9)),
        sphere((front - head * 0.7, 0, face - 0.08), (0.1, 0.13, 0.08), WHITE),
        sphere((front - head * 0.7 - 0.09, 0, face - 0.05), 0.04, THIRD),
        cylinder((-length * 0.72, 0, z + 0.12), 0.225, 0.035, THIRD, turn=rotation("y", -0.6)),
    ]
    for side in (-1, 1):
        body += eye((front - head * 0.72, side * 0.13, face + 0.08), 0.07)
        body.append(frustum((front, side * head * 0.62, face + head * 0.98), 0.13, 0.0, 0.14, SECOND))
        body += [cylinder((x, side * 0.13, z / 2 - 0.05), 0.085, z / 2 - 0.02, SECOND) for x in (-0.26, 0.26)]
    tail = [
        frustum((length + 0.1, 0, z + 0.28), 0.08, 0.07, 0.3, SECOND, part, turn=rotation("y", 0.45)),
        sphere((length + 0.23, 0, z + 0.55), 0.09, SECOND, part),
    ]
    return Shape(body + tail, (front, 0, face + head * 0.86))


def toy_duck(draw: Draw) -> Shape:
    length, head, z, part = draw(0.46, 0.52), draw(0.25, 0.29), 0.32, "a beak"
    front, face = -length * 0.62, z + draw(0.42, 0.48)
    body = [
        sphere((0, 0, z), (length, 0.34, 0.32)),
        sphere((front, 0, face), head),
        cylinder((front * 0.95, 0, face - head * 0.85), 0.2, 0.035, THIRD),
        frustum((length, 0, z + 0.2), 0.2, 0.02, 0.2, turn=rotation("y", 0.8)),
    ]
    for side in (-1, 1):
        body += eye((front - head * 0.7, side * 0.14, face + 0.1), 0.07)
        body.append(sphere((0.1, side * 0.31, z + 0.06), (0.28, 0.08, 0.17), SECOND))
    beak = [
        sphere((front - head - 0.08, 0, face - 0.02), (0.23, 0.17, 0.06), THIRD, part, rotation("y", 0.2)),
        sphere((front - head - 0.05, 0, face - 0.09), (0.19, 0.14, 0.05), THIRD, part, rotation("y", -0.2)),
    ]
    return Shape(body + beak, (front, 0, face + head))


def fish(draw: Draw) -> Shape:
    length, half, part = draw(0.52, 0.6), draw(0.3, 0.38), "a tail fin"
    z = half + 0.1
    body = [
        sphere((-0.1, 0, z), (length, 0.29, half)),
        frustum((-0.02, 0, z + half * 0.95), 0.3, 0.1, 0.14, SECOND, turn=rotation("y", 0.25), squash=0.12),
        frustum((0.05, 0, z - half * 0.95), 0.08, 0.2, 0.1, SECOND, turn=rotation("y", -0.3), squash=0.15),
        sphere((-0.1 - length * 0.95, 0, z - 0.05), (0.06, 0.09, 0.07), THIRD),
    ]
    for side in (-1, 1):
        body.append(sphere((-0.1 - length * 0.6, side * 0.2, z + 0.08), 0.1, WHITE))
        body.append(sphere((-0.1 - length * 0.64, side * 0.265, z + 0.08), 0.06, DARK))
        flat = combined(rotation("z", side * 0.5), rotation("y", 0.5))
        body.append(sphere((0.03, side * 0.3, z - 0.08), (0.17, 0.04, 0.09), THIRD, turn=flat))
    tail = [
        frustum((length + 0.03, 0, z), 0.05, 0.36, 0.21, SECOND, part, "x", squash=0.16),
        frustum((length + 0.21, 0, z), 0.3, 0.36, 0.035, THIRD, part, "x", squash=0.18),
    ]
    return Shape(body + tail, (-0.25, 0, z + half * 0.93))


def robot(draw: Draw) -> Shape:
    width, half, head, part = draw(0.33, 0.4), draw(0.25, 0.31), draw(0.2, 0.24), "an antenna"
    z = 0.3 + half
    neck = z + half + 0.06
    face, top, front = neck + head, neck + 2 * head, -head * 0.95
    body = [
        box((0, 0, z), (width * 0.75, width, half)),
        cylinder((0, 0, neck - 0.03), 0.1, 0.06, DARK),
        box((0, 0, face), (head * 0.95, head * 1.3, head), SECOND),
        box((front, 0, face - 0.1), (0.02, 0.12, 0.03), DARK),
        box((-width * 0.75, 0, z), (0.025, width * 0.6, half * 0.5), THIRD),
        sphere((-width * 0.78, 0.07, z), 0.055, GLOW),
        sphere((-width * 0.78, -0.07, z), 0.055, WHITE),
    ]
    for side in (-1, 1):
        body += eye((front, side * 0.11, face + 0.06), 0.08)
        body.append(cylinder((0, side * (width + 0.11), z), 0.09, half * 0.85, SECOND))
        body.append(sphere((0, side * (width + 0.11), z - half * 0.9), 0.12, THIRD))
        body.append(cylinder((0, side * width * 0.55, 0.16), 0.1, 0.16, SECOND))
        body.append(box((-0.05, side * width * 0.55, 0.05), (0.17, 0.12, 0.05), DARK))
    antenna = [
        cylinder((0, 0, top + 0.1), 0.04, 0.12, DARK, part),
        sphere((0, 0, top + 0.26), 0.12, THIRD, part),
    ]
    return Shape(body + antenna, (0, 0, top))
