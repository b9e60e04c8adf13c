"""A chain of nodes that do next to nothing: what a run of it takes is what the runtime takes for a node by itself."""

import onnx_ir as ir

LENGTH = 200


def chain(length: int = LENGTH) -> ir.Model:
    """``length`` sigmoids of one number in a row; no optimisation of the runtime takes any of them away."""
    first = value = _number("x")
    nodes = []
    for index in range(length):
        value, before = _number(f"x{index}"), value
        nodes.append(ir.Node("", "Sigmoid", [before], outputs=[value], name=f"sigmoid_{index}"))
    graph = ir.Graph([first], [value], nodes=nodes, opset_imports={"": 18}, name="chain")
    return ir.Model(graph, ir_version=10)


def _number(name: str) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape([1, 1, 1, 1]), type=ir.TensorType(ir.DataType.FLOAT))
