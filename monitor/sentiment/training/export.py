"""The trained network as model.onnx: word embeddings in the 4 bits that they came in, encoder matrices in int8.

The promise: nothing ships whose figures moved. The graph before quantising equals the network, the 4-bit embeddings equal
the fp32 ones to the last bit (they are Q4_0 blocks and were not trained), and what int8 costs is measured by the caller.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from monitor.errors import ModelError
from monitor.sentiment.training.network import Network

BLOCK = 32
"""Weights that share a scale in Q4_0."""


def export(network: Network, target: Path, *, int8: bool = True) -> None:
    """Write `network` as ONNX: `input_ids` int64 [texts, tokens] in, `logits` [texts, 3] out.

    With `int8` the encoder's matrices become int8, a scale per output channel, its activations int8 by the scale of each run.
    Raises ModelError when the graph does not give what the network gives.
    """
    network = network.cpu().float().eval()
    sample = torch.randint(5, network.words.num_embeddings - 1, (1, 24))
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        axes = {"input_ids": {0: "texts", 1: "tokens"}, "logits": {0: "texts"}}
        torch.onnx.export(
            network, (sample,), str(plain), input_names=["input_ids"], output_names=["logits"], dynamic_axes=axes,
            opset_version=17, dynamo=False,
        )  # fmt: skip
        with torch.inference_mode():
            other = torch.randint(5, network.words.num_embeddings - 1, (1, 31))
            apart = np.abs(_run(plain, other.numpy()) - network(other).numpy()).max()
        if apart > 1e-4:
            raise ModelError(
                f"the exported graph is {apart:.1g} from the network, more than rounding: look at network.py for what it does not trace"
            )
        model = onnx.load(plain)
        _four_bit(model, network.words.weight.detach().numpy())
        onnx.save(model, plain)
        if int8:
            head = [node.name for node in model.graph.node if "/dense/" in node.name or "/out/" in node.name]
            quantize_dynamic(
                plain, small, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"], nodes_to_exclude=head
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((small if int8 else plain).read_bytes())


def _run(path: Path, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"input_ids": tokens})[0]
    return found


def _four_bit(model: onnx.ModelProto, words: NDArray[np.float32]) -> None:
    """Put the word embeddings into the graph as Q4_0 blocks, which is what they were made from."""
    values, scales = blocks(words)
    packed = ((values[:, ::2] & 15) | ((values[:, 1::2] & 15) << 4)).astype(np.uint8)
    graph = model.graph
    table = next(each for each in graph.initializer if list(each.dims) == list(words.shape))
    gather = next(node for node in graph.node if node.op_type == "Gather" and node.input[0] == table.name)
    graph.initializer.remove(table)
    graph.initializer.append(helper.make_tensor("words", TensorProto.INT4, list(words.shape), packed.tobytes(), raw=True))
    graph.initializer.append(numpy_helper.from_array(scales, "words_scale"))
    lookup = helper.make_node(
        "GatherBlockQuantized", ["words", gather.input[1], "words_scale"], ["words_half"], name="words", domain="com.microsoft",
        block_size=BLOCK, gather_axis=0, quantize_axis=1,
    )  # fmt: skip
    cast = helper.make_node("Cast", ["words_half"], [gather.output[0]], name="words_cast", to=TensorProto.FLOAT)
    at = list(graph.node).index(gather)
    graph.node.remove(gather)
    graph.node.insert(at, lookup)
    graph.node.insert(at + 1, cast)
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)])
    model.ir_version = 10


def blocks(words: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """The Q4_0 form of `words`: values -8 to 7, of their shape, and an fp16 scale per block of 32 in a row.

    In Q4_0 the weight of a block that is farthest from zero is -8 scales. Raises ModelError when the rows are no such blocks.
    """
    parts = words.reshape(len(words), -1, BLOCK)
    farthest = np.take_along_axis(parts, np.abs(parts).argmax(2)[..., None], 2)
    scales = (-farthest / 8).astype(np.float16)
    wide = scales.astype(np.float32)
    values = np.rint(np.divide(parts, wide, out=np.zeros_like(parts), where=wide != 0))
    if not np.array_equal(values * wide, parts):
        raise ModelError("the word embeddings are no Q4_0 blocks any more, so 4 bits would change them: train with them frozen")
    return values.astype(np.int8).reshape(words.shape), scales[..., 0]
