"""DreamBench's metrics on embeddings, under two protocols that give different numbers.

`toffee`: the cosine of a picture to every real picture of its subject, averaged (DreamBooth, section 4.1, and the
paper). `single`: to the input image alone, as Kosmos-G and OmniGen do. A real picture is scored as a drawn one is, and
is never compared with itself.

Embeddings are float (n, c), one per picture; a picture that has none, such as a cut-out of a subject that was not
found, is a row of NaN. Its scores are NaN, and others are not compared with it.
"""

from __future__ import annotations

import numpy as np

INPUT = 0
"""Row of the input image among a subject's real pictures."""


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n, c) and (m, c) to (n, m), -1..1; in float64."""
    return _unit(first) @ _unit(second).T


def toffee(drawn: np.ndarray, real: np.ndarray) -> np.ndarray:
    """(n,): each drawn picture's mean cosine to all real ones."""
    return _mean(cosines(drawn, real))


def single(drawn: np.ndarray, real: np.ndarray) -> np.ndarray:
    """(n,): each drawn picture's cosine to the input image."""
    return cosines(drawn, real[[INPUT]])[:, 0]


def toffee_of_real(real: np.ndarray) -> np.ndarray:
    """(m,): each real picture's mean cosine to the subject's others; NaN where there is no other."""
    return _mean(_without_self_pairs(real))


def single_of_real(real: np.ndarray) -> np.ndarray:
    """(m,): each real picture's cosine to the input image; NaN of that one itself."""
    return _without_self_pairs(real)[:, INPUT]


def copy_paste(drawn: np.ndarray, real: np.ndarray) -> np.ndarray:
    """(n,): how much nearer a drawn picture is to the input image than the subject's other real pictures are, on the
    mean.

    Above 0, it is more like the input than another photograph of the subject would be.
    """
    known = single_of_real(real)
    known = known[np.isfinite(known)]
    return single(drawn, real) - (known.mean() if len(known) else np.nan)


def paired(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """(n,): the cosine of each image and its text: CLIP-T."""
    return (_unit(images) * _unit(texts)).sum(-1)


def _without_self_pairs(real: np.ndarray) -> np.ndarray:
    found = cosines(real, real)
    np.fill_diagonal(found, np.nan)
    return found


def _mean(found: np.ndarray) -> np.ndarray:
    """Over the columns that are there."""
    there = np.isfinite(found)
    count = there.sum(-1)
    return np.where(count > 0, np.where(there, found, 0).sum(-1) / np.maximum(count, 1), np.nan)


def _unit(embeddings: np.ndarray) -> np.ndarray:
    exact = np.asarray(embeddings, np.float64)
    return exact / np.linalg.norm(exact, axis=-1, keepdims=True)
