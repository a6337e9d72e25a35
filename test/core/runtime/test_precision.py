"""bfloat16 is taken where the processor multiplies it, and nowhere else."""

import pytest
import torch

from pvd_core.borders.errors import UserError
from pvd_core.runtime import onednn, precision
from pvd_core.runtime.precision import PRECISIONS, resolve_precision, widened
from training.run.config import TrainConfig, load_config, with_precision

CPU = torch.device("cpu")


@pytest.fixture(params=["hardware", "emulated", "none"])
def processor(request, monkeypatch):
    """What the processor has of bfloat16."""
    monkeypatch.setattr(onednn, "has_bfloat16", lambda: request.param != "none")
    monkeypatch.setattr(precision, "bf16_flags", lambda: ("avx512_bf16",) if request.param == "hardware" else ())
    return request.param


def test_auto_is_bf16_in_hardware_alone(processor):
    expected = "bf16" if processor == "hardware" else "fp32"
    assert resolve_precision("auto", CPU) == expected
    assert with_precision(TrainConfig("data", precision="auto", device="cpu")).precision == expected


def test_bf16_is_refused_where_the_processor_has_none(processor):
    if processor == "none":
        with pytest.raises(UserError, match=r"'bf16': this processor has no bfloat16.*take fp32, or auto"):
            resolve_precision("bf16", CPU)
        with pytest.raises(UserError, match="take fp32, or auto"):
            with_precision(TrainConfig("data", precision="bf16", device="cpu"))
    else:
        assert resolve_precision("bf16", CPU) == "bf16"
        assert with_precision(TrainConfig("data", precision="bf16", device="cpu")).precision == "bf16"


def test_doctor_says_what_there_is(processor):
    from pvd_cli.checks.hardware import check_torch

    (finding,) = (finding for finding in check_torch() if finding.name == "bf16 on cpu")
    assert finding.is_present == (processor == "hardware")
    wanted = {"hardware": "in hardware", "emulated": "emulated and slow", "none": "not on this processor"}
    assert wanted[processor] in finding.found


def test_the_engine_multiplies_bf16_by_torch_where_onednn_cannot(monkeypatch):
    monkeypatch.setattr(onednn, "has_bfloat16", lambda: False)
    assert not onednn.is_usable_for(torch.zeros(1, dtype=torch.bfloat16))
    assert onednn.is_usable_for(torch.zeros(1)) == onednn._IS_AVAILABLE


def test_whether_onednn_has_bf16_is_found_by_trying():
    ones = torch.ones(2, 8, dtype=torch.bfloat16)
    if onednn.has_bfloat16():
        assert onednn.product(ones, ones).tolist() == [[8.0, 8.0]] * 2
    elif onednn._IS_AVAILABLE:
        with pytest.raises(RuntimeError):
            onednn.product(ones, ones)


@pytest.mark.parametrize(("old", "new"), [("32-true", "fp32"), ("bf16-mixed", "bf16")])
def test_settings_of_earlier_versions_are_read(old, new):
    assert load_config(None, ["dataset=data", f"precision={old}"]).precision == new


def test_unknown_precision_names_those_there_are():
    with pytest.raises(UserError, match=f"'fp8': expected auto or one of {', '.join(PRECISIONS)}"):
        resolve_precision("fp8", CPU)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.int64])
def test_losses_are_computed_in_float32_or_wider(dtype):
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    assert widened(torch.ones(3, dtype=dtype)).dtype == expected
