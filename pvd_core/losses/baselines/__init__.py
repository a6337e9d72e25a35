"""The distillation methods that PVD is compared with, one in each file; `distillation` defines their interface."""
