"""Segmentation of images: ImageSegmenterEM, and pixels as rows of a table."""

from emlearn.image._pixels import PixelTable, pixel_table
from emlearn.image._segmenter import ImageSegmenterEM

__all__ = ["ImageSegmenterEM", "PixelTable", "pixel_table"]
