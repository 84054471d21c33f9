"""Segmentation of images."""

from emlearn.image._segmenter import ImageSegmenterEM

__all__ = ["ImageSegmenterEM"]
