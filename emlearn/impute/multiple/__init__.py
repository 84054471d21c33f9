"""Multiple imputation: resamples or data augmentation, and pipelines around the imputer."""
