"""What tests share that the engine's interpreter runs."""

import torch

from testbed import hypothesis_profiles

hypothesis_profiles.load()
torch.set_num_threads(1)  # batches are small
