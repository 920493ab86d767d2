import pytest
from torch import nn

from paretune.weighting.gradients.layers import choose_parameters, find_layers


class Mixture(nn.Module):
    """Two layers of four experts each, and a shorter list beside them."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(2, 2)])
        self.body = nn.Module()
        self.body.layers = nn.ModuleList([nn.ModuleDict({"experts": experts()}) for _ in range(2)])
        self.norm = nn.LayerNorm(2)


def experts():
    return nn.ModuleList([nn.Linear(2, 2) for _ in range(4)])


def test_the_longest_outermost_list_holds_the_layers():
    model = Mixture()
    path, layers = find_layers(model)
    assert path == "body.layers"
    assert layers == list(model.body.layers)


def test_a_module_without_lists_has_no_layers():
    assert find_layers(nn.Sequential(nn.Linear(2, 2))) == ("", [])


def test_choices():
    model = Mixture()
    for parameter in model.norm.parameters():
        parameter.requires_grad_(False)
    names = [name for name, _ in model.named_parameters() if not name.startswith("norm")]
    assert list(choose_parameters(model, "all")) == names
    assert list(choose_parameters(model, "last:2")) == [name for name in names if name.startswith("body.layers.")]
    assert list(choose_parameters(model, "last:1")) == [name for name in names if name.startswith("body.layers.1.")]
    assert list(choose_parameters(model, r"name:^heads.*bias$")) == ["heads.0.bias"]


def test_tied_parameters_are_found_by_each_of_their_names_and_appear_once():
    model = nn.ModuleDict({"embed": nn.Embedding(3, 2), "head": nn.Linear(2, 3, bias=False)})
    model["head"].weight = model["embed"].weight
    assert list(choose_parameters(model, "name:head")) == ["head.weight"]
    assert list(choose_parameters(model, "all")) == ["embed.weight"]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("some", r'parameters: must be "all", "last:N", "lora" or "name:REGEX", got \'some\''),
        ("last:-1", "parameters: must be"),
        ("last:", "parameters: must be"),
        ("name:", "parameters: must be"),
        ("last:3", "parameters: must name 1 to 2 layers of Mixture, got 'last:3'"),
        ("last:0", "parameters: must name 1 to 2 layers of Mixture, got 'last:0'"),
        ("lora", "parameters: must match a trainable parameter of Mixture, got 'lora'"),
        ("name:^decoder", r"parameters: must match a trainable parameter of Mixture, got 'name:\^decoder'"),
        ("name:(", r"parameters: must hold a valid regular expression, got 'name:\('"),
    ],
)
def test_bad_choices_are_named(choice, message):
    with pytest.raises(ValueError, match=message):
        choose_parameters(Mixture(), choice)


def test_frozen_layers_cannot_be_chosen():
    model = Mixture().requires_grad_(False)
    with pytest.raises(ValueError, match="must match a trainable parameter"):
        choose_parameters(model, "last:1")


def test_a_module_without_layers_has_no_last_ones():
    with pytest.raises(ValueError, match="must name 1 to 0 layers of Linear"):
        choose_parameters(nn.Linear(2, 2), "last:1")
