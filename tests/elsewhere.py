"""A device that is none: tensors on `elsewhere` compute on the CPU and refuse, as a GPU does, to be mixed with tensors that were left there.

torch's own ways of pretending do not reach far enough: `meta` tensors have no values (a loss that is printed, a mask that picks
rows), and `FakeTensorMode` stops at the first of either. Here every operator that meets a tensor on `elsewhere` is looked at first and
computed afterwards; what a GPU would refuse raises `LeftBehind`:

- operands on both devices (a number, and the indices of `x[index]`, may come from the CPU, as they may on a GPU);
- `.numpy()` without `.cpu()` (torch itself says so);
- a CPU generator that is to draw on the device.

What it cannot see is what only a GPU does: other kernels, their rounding, their order of sums, memory, streams.
"""
import contextlib
import json
import os
import sys
import tempfile
import traceback
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from transformers import PreTrainedModel

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
os.environ.setdefault('LPNB_QUIET', '1')

from device_steps import HALVED, STAGES, TINY, after_step, apart, in_attention, in_lab, in_measures  # noqa: E402
from lp_nb import core  # noqa: E402
from lp_nb.data.cohort import example_cohort  # noqa: E402
from lp_nb.learning.inputs import learning_data  # noqa: E402

NAME = 'elsewhere'
aten = torch.ops.aten
# operand numbers that a GPU takes from the CPU too: indices of x[i], lengths of packed sequences, what is copied
FREE = {aten.index.Tensor: {1}, aten.index_put.default: {1}, aten.index_put_.default: {1}, aten._index_put_impl_.default: {1},
        aten._pack_padded_sequence.default: {1}, aten.copy_.default: {0, 1}, aten._to_copy.default: {0}}
WHOLE = {aten.cat.default, aten.stack.default}  # here not even a single number may come from the CPU


def lstm_cell(inputs, hidden, c, bias=None, other=None):
    "One step of an LSTM as devices compute it: state, cell, and the gates for the way back."
    gates = inputs + hidden + (0 if bias is None else bias + other)
    i, f, g, o = gates.chunk(4, 1)
    work = torch.cat([i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()], 1)
    i, f, g, o = work.chunk(4, 1)
    new = f * c + i * g
    return o * new.tanh(), new, work


def lstm_cell_back(grad_h, grad_c, c, new, work, has_bias):
    "Its gradient: of the gates, the cell before, the biases."
    i, f, g, o = work.chunk(4, 1)
    h = 0 if grad_h is None else grad_h
    at = (0 if grad_c is None else grad_c) + h * o * (1 - new.tanh() ** 2)
    parts = at * g * i * (1 - i), at * c * f * (1 - f), at * i * (1 - g**2), h * new.tanh() * o * (1 - o)
    gates = torch.cat([x.expand_as(i) for x in map(torch.as_tensor, parts)], 1)
    return gates, at * f, gates.sum(0) if has_bias else None


# what torch computes in one kernel on a device, and has no such kernel for on the CPU
KERNELS = {aten._thnn_fused_lstm_cell.default: lstm_cell, aten._thnn_fused_lstm_cell_backward_impl.default: lstm_cell_back,
           aten._fused_sdp_choice.default: lambda *args, **how: 0}  # attention by its formula


class LeftBehind(RuntimeError):
    "A tensor was left on another device than those it is to be computed with."


class Module:
    "What torch asks of a device (`torch.elsewhere`)."

    is_initialized = is_available = lambda self: True
    _is_in_bad_fork = lambda self: True  # it has no random numbers of its own: the CPU's are drawn
    current_device = lambda self: 0
    device_count = lambda self: 1
    manual_seed_all = lambda self, seed: None
    get_rng_state = lambda self, device=None: torch.zeros(1, dtype=torch.uint8)
    set_rng_state = lambda self, state, device=None: None
    get_amp_supported_dtype = lambda self: [torch.bfloat16, torch.float16]


# what autocast computes in half precision on a GPU, and what it takes back to float32 there (a part of torch's lists)
HALF = ('mm', 'addmm', 'bmm', 'baddbmm', 'matmul', 'linear', 'scaled_dot_product_attention')
FULL = ('layer_norm', 'softmax.int', 'log_softmax.int', 'exp', 'log', 'sum', 'sum.dim_IntList', 'prod', 'cumsum', 'mse_loss',
        'binary_cross_entropy_with_logits', 'cross_entropy_loss', 'nll_loss', 'cosine_similarity', 'norm.ScalarOpt_dim', 'pow.Tensor_Scalar')
KEY = 'AutocastPrivateUse1'


def cast(op, dtype):
    "An operator as autocast calls it."
    def run(*args, **kwargs):
        wide = (torch.float32, torch.bfloat16, torch.float16)
        change = lambda x: x.to(dtype) if isinstance(x, torch.Tensor) and x.dtype in wide and is_elsewhere(x.device) else x
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, KEY))):
            return op(*tree_map(change, args), **tree_map(change, kwargs))
    return run


def made(op):
    "A new tensor elsewhere."
    return lambda *args, device=None, **how: Elsewhere(op(*args, device='cpu', **how))


def copied(source, target, non_blocking=False):
    "A copy between the devices, either way."
    bare = [x.held if isinstance(x, Elsewhere) else x for x in (source, target)]
    bare[1].copy_(bare[0])
    return target


LIBRARIES = []  # torch forgets what was registered when they are gone


def setup():
    "Make the device known to torch, for the rest of this process."
    if LIBRARIES:
        return
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME, Module())
    every, some = torch.library.Library('_', 'IMPL'), torch.library.Library('aten', 'IMPL')
    LIBRARIES.extend([every, some])
    every.fallback(torch.library.fallthrough_kernel, KEY)
    for name in ('empty.memory_format', 'empty_strided'):  # torch makes some tensors where no mode looks
        packet, _, overload = name.partition('.')
        some.impl(name, made(getattr(getattr(aten, packet), overload or 'default')), 'PrivateUse1')
    some.impl('_copy_from', copied, 'PrivateUse1')
    for names, dtype in ((HALF, torch.bfloat16), (FULL, torch.float32)):
        for name in names:
            packet, _, overload = name.partition('.')
            some.impl(name, cast(getattr(getattr(aten, packet), overload or 'default'), dtype), KEY)


class Elsewhere(torch.Tensor):
    "A tensor that says it is elsewhere, and holds one on the CPU."

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        out = torch.Tensor._make_wrapper_subclass(cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
                                                  dtype=held.dtype, device=f'{NAME}:0')
        out.held = held
        return out

    def __repr__(self):
        return f'{self.held!r} elsewhere'

    def tolist(self):
        return self.held.tolist()

    # by these torch knows that a module's weights are exchanged when it moves, and stay tied
    def __tensor_flatten__(self):
        return ['held'], None

    @staticmethod
    def __tensor_unflatten__(parts, meta, size, stride):
        return Elsewhere(parts['held'])

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def is_elsewhere(device) -> bool:
    return device is not None and torch.device(device).type == NAME


def refuse(func, args, kwargs):
    "Raise where a tensor on the CPU is to be computed with one elsewhere."
    free, whole = FREE.get(func, ()), func in WHOLE
    named = [(i, x) for i, arg in enumerate(args) for x in tree_flatten(arg)[0]]
    named += [(k, x) for k, arg in kwargs.items() for x in tree_flatten(arg)[0]]
    for i, x in named:
        if isinstance(x, torch.Tensor) and not isinstance(x, Elsewhere) and i not in free and (x.dim() or whole):
            raise LeftBehind(f'{func}: operand {i} {tuple(x.shape)} is on {x.device}, others are on {NAME}')


seen = set()  # operators that were computed elsewhere


def compute(func, args, kwargs):
    "One operator: looked at, computed on the CPU, wrapped where the result is to be elsewhere."
    flat = tree_flatten((args, kwargs))[0]
    here = any(isinstance(x, Elsewhere) for x in flat)
    target = kwargs.get('device')
    there = is_elsewhere(target) if target is not None else here
    if not here and not there:
        return func(*args, **kwargs)
    if here:
        refuse(func, args, kwargs)
    generator = kwargs.get('generator')
    if there and isinstance(generator, torch.Generator) and generator.device.type != NAME:
        raise LeftBehind(f'{func}: a generator on {generator.device} is to draw on {NAME}')
    seen.add(str(func))
    bare = tree_map(lambda x: x.held if isinstance(x, Elsewhere) else x, kwargs)
    if is_elsewhere(target):
        bare['device'] = torch.device('cpu')
    out = KERNELS.get(func, func)(*tree_map(lambda x: x.held if isinstance(x, Elsewhere) else x, args), **bare)
    if func is aten._pack_padded_sequence.default:
        return Elsewhere(out[0]), out[1]  # how many rows each step has stays on the CPU
    if func is aten.copy_.default and not isinstance(args[0], Elsewhere):
        return args[0]
    return given_back(func, args, kwargs, out, there)


def given_back(func, args, kwargs, out, there: bool):
    "The result, wrapped; what was changed in place is the very tensor that was given."
    whose = {id(x.held): x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Elsewhere)}

    def wrap(x):
        if not isinstance(x, torch.Tensor):
            return x
        return whose.get(id(x)) if id(x) in whose else Elsewhere(x) if there else x

    return tree_map(wrap, out)


class Mode(TorchDispatchMode):
    "Inside, whatever is made elsewhere is made there."

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


@contextlib.contextmanager
def elsewhere():
    "Inside there is the device."
    setup()
    with Mode():
        yield torch.device(NAME)


# What is tried

def planted() -> dict:
    "Faults of the kind that is looked for, by name: functions of the device."
    return {
        'a batch that was not moved': lambda d: torch.nn.functional.embedding(torch.tensor([1, 2]), torch.ones(3, 2, device=d)),
        'a weight of the loss': lambda d: torch.ones(3, device=d) * torch.ones(3),
        'a mask': lambda d: torch.ones(3, 3, device=d).masked_fill(torch.eye(3).bool(), 0),
        'a part of a list': lambda d: torch.cat([torch.ones(2, device=d), torch.ones(2)]),
        'numbers of rows to add to': lambda d: torch.zeros(3, 2, device=d).index_add_(0, torch.tensor([0]), torch.ones(1, 2, device=d)),
        'numpy of what is elsewhere': lambda d: torch.ones(2, device=d).numpy(),
        'asarray of what is elsewhere': lambda d: __import__('numpy').asarray(torch.ones(2, device=d)),
        'a generator of the CPU': lambda d: torch.rand(2, device=d, generator=torch.Generator()),
        'a gradient to a weight here': lambda d: (torch.ones(3, device=d) @ torch.ones(3, 2, requires_grad=True)).sum().backward(),
    }


def raised(f, device) -> str:
    try:
        f(device)
    except (LeftBehind, RuntimeError, TypeError) as e:
        return f'{type(e).__name__}: {e}'[:200]
    return ''


def attempt(f, *args) -> dict:
    "How far apart a function's results are here and elsewhere, or where it failed."
    before = torch.random.get_rng_state()
    here = f(*args, torch.device('cpu'))
    torch.random.set_rng_state(before)
    seen.clear()
    try:
        with elsewhere() as device:
            there = f(*args, device)
    except Exception as e:  # what it is, the table says
        at = [f'{x.name}: {x.line}' for x in traceback.extract_tb(e.__traceback__) if 'lp_nb' in x.filename]
        return dict(error=f'{type(e).__name__}: {str(e)[:300]}', at=at[-3:])
    worst, what = apart(there, here)
    return dict(apart=worst, of=what, operators=sorted(seen))


def on_device(f):
    "A function of the device whose kit believes that this machine has it."
    def run(device):
        with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
            asked = core.device
            for module in [m for n, m in sys.modules.items() if n.startswith('lp_nb.')]:
                if getattr(module, 'device', None) is asked:
                    stack.enter_context(patch.object(module, 'device', lambda: device.type))
            stack.enter_context(patch.object(PreTrainedModel, 'save_pretrained', saved_from_here))
            return f(Path(folder))
    return run


save = PreTrainedModel.save_pretrained


def saved_from_here(model, folder, **how):
    "Weights are written from the CPU: `transformers` asks for their addresses in memory, which what is pretended has not."
    save(model, folder, state_dict={k: v.cpu() for k, v in model.state_dict().items()}, **how)


def main(out: str):
    "Try everything here and elsewhere, and write what came of it as JSON."
    setup()  # before the first gradient: torch counts its devices then
    torch.set_num_threads(1)
    with elsewhere() as device:
        made = dict(planted={name: raised(f, device) for name, f in planted().items()})
    cohort = example_cohort('phenotyping', 60)
    data = learning_data(cohort, TINY)
    made['steps'] = {case: attempt(after_step, case, data) for case in STAGES}
    made['half'] = {case: attempt(partial(after_step, precision='bf16'), case, data) for case in HALVED}
    made['measures'], made['attention'] = attempt(in_measures), attempt(in_attention)
    made['lab'] = attempt(on_device(partial(in_lab, cohort)))
    Path(out).write_text(json.dumps(made, indent=1))


if __name__ == '__main__':
    main(*sys.argv[1:])
