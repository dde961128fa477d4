"""The shapes of what a norm learns; needs no torch."""

from normexp.config.norm import LayerNorm, NoNorm, Norm, RmsNorm


def affine_shapes(
    config: Norm, channels: int, pixels: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    """The parameters of the norm at a site, by name."""
    if isinstance(config, NoNorm) or not config.affine:
        return {}
    per_element = isinstance(config, LayerNorm) and config.affine_per == "element"
    shape = (channels, *pixels) if per_element or isinstance(config, RmsNorm) else (channels,)
    names = ("weight",) if isinstance(config, RmsNorm) else ("weight", "bias")
    return dict.fromkeys(names, shape)
