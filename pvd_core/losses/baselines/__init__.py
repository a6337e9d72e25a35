"""The distillation methods that PVD is compared with (spec 4): one file each, the interface of `distillation`."""
