"""Colour maps whose lightness rises evenly, so that brighter always means more."""

import numpy as np

# Night, violet, red, orange and paper, in sRGB.
ANCHORS = ((13, 12, 29), (82, 32, 128), (196, 49, 98), (245, 140, 62), (255, 244, 214))

# To the responses of the cones, and from their cube roots to lightness and two opponent colours.
# Source: Ottosson 2020, "A perceptual color space for image processing" (Oklab).
CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
OPPONENTS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_lab(colours: np.ndarray) -> np.ndarray:
    """sRGB 0 to 255, [..., 3], as Oklab: lightness 0 to 1 and two opponent colours."""
    shares = np.asarray(colours, np.float64) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ CONES.T) @ OPPONENTS.T


def from_lab(lab: np.ndarray) -> np.ndarray:
    """Oklab, [..., 3], as sRGB, uint8; what no screen can show is clipped."""
    linear = ((lab @ np.linalg.inv(OPPONENTS).T) ** 3 @ np.linalg.inv(CONES).T).clip(0, 1)
    shares = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(shares * 255).astype(np.uint8)


def colour_map(turn: float = 0.0, size: int = 256) -> np.ndarray:
    """Colours from dark to light, [size, 3], uint8, with hues turned by a share of a whole turn.

    Between the anchors hue and chroma change evenly; lightness rises evenly from the first anchor to the last.
    """
    anchors = to_lab(np.array(ANCHORS))
    places = np.linspace(0, len(anchors) - 1, size)
    lightness = np.linspace(anchors[0, 0], anchors[-1, 0], size)
    first, second = (np.interp(places, np.arange(len(anchors)), anchors[:, column]) for column in (1, 2))
    angle = 2 * np.pi * turn
    turned = (first * np.cos(angle) - second * np.sin(angle), first * np.sin(angle) + second * np.cos(angle))
    return from_lab(np.stack([lightness, *turned], axis=1))
