"""Item response theory: the latent traits of persons and the parameters of items."""
