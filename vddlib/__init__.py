"""Video dataset distillation, reproduced."""
