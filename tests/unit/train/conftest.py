import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from clslab import seeds


class Net(nn.Module):
    """A small network with all that makes a run hard to repeat: batch norm and dropout."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 16)
        self.norm = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(16, 3)

    def forward(self, inputs):
        return self.head(self.dropout(self.norm(self.first(inputs)).relu()))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.setenv("CLSLAB_DEVICE", "cpu")
    monkeypatch.delenv("CLSLAB_PRECISION", raising=False)


@pytest.fixture
def net():
    def make(seed=0):
        seeds.seed_everything(seed)
        return Net()

    return make


@pytest.fixture
def dataset():
    generator = torch.Generator().manual_seed(5)
    targets = torch.arange(50) % 3
    inputs = torch.randn(50, 6, generator=generator)
    inputs[:, 0] += targets
    return TensorDataset(inputs, targets)


@pytest.fixture
def loaders(dataset):
    """A function that makes a shuffled training loader and a validation loader, new each time."""

    def make(**options):
        shuffled = {"shuffle": True, "generator": seeds.generator(1)} | options
        return DataLoader(dataset, batch_size=16, **shuffled), DataLoader(dataset, batch_size=20)

    return make
