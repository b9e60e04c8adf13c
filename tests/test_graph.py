"""Counting, canonicalising, splicing and aligning ONNX graphs."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from made import floats, model_of, ran
from torch import nn

from attnbench.core.errors import CaseFailure, InputError, UnknownName
from attnbench.core.naming import display_name, inserted_module, inserted_site, insertion_prefix, is_inserted
from attnbench.graph import export
from attnbench.graph.align import ExecutedNode, align
from attnbench.graph.canonicalise import canonicalise
from attnbench.graph.cost import SOFTMAX_STEPS, graph_cost
from attnbench.graph.export import to_onnx
from attnbench.graph.liveness import Step, peak
from attnbench.graph.load import file_size, parse, read_host_file, serialise
from attnbench.graph.splice import mark_tensors, markers, planes, splice, tensors
from attnbench.hosts.site import Site, marked


class TestCost:
    @pytest.mark.parametrize(
        ("node", "inputs", "output", "weights", "macs", "elements"),
        [
            (
                ("Conv", ["x", "w"], ["y"], {"pads": [1] * 4}),
                {"x": (1, 8, 6, 5)},
                (1, 4, 6, 5),
                {"w": floats(4, 8, 3, 3)},
                4 * 30 * 72,
                0,
            ),
            (
                ("Conv", ["x", "w"], ["y"], {"group": 8}),
                {"x": (2, 8, 6, 5)},
                (2, 8, 6, 5),
                {"w": floats(8, 1, 1, 1)},
                2 * 8 * 30,
                0,
            ),
            (("Conv", ["x", "w"], ["y"], {}), {"x": (1, 1, 9)}, (1, 1, 7), {"w": floats(1, 1, 3)}, 21, 0),
            (
                ("ConvTranspose", ["x", "w"], ["y"], {"strides": [2, 2]}),
                {"x": (1, 8, 3, 3)},
                (1, 4, 6, 6),
                {"w": floats(8, 4, 2, 2)},
                8 * 9 * 16,
                0,
            ),
            (("Gemm", ["x", "w"], ["y"], {"transB": 1}), {"x": (2, 16)}, (2, 4), {"w": floats(4, 16)}, 2 * 16 * 4, 0),
            (("Gemm", ["x", "w"], ["y"], {"transA": 1}), {"x": (16, 2)}, (2, 4), {"w": floats(16, 4)}, 2 * 16 * 4, 0),
            (("MatMul", ["x", "z"], ["y"], {}), {"x": (2, 3, 4, 5), "z": (2, 3, 5, 6)}, (2, 3, 4, 6), {}, 6 * 4 * 5 * 6, 0),
            (("MatMul", ["x", "z"], ["y"], {}), {"x": (2, 3, 4, 5), "z": (5, 6)}, (2, 3, 4, 6), {}, 6 * 4 * 5 * 6, 0),
            (("Sigmoid", ["x"], ["y"], {}), {"x": (1, 8, 3, 3)}, (1, 8, 3, 3), {}, 0, 72),
            (("Mul", ["x", "z"], ["y"], {}), {"x": (1, 8, 3, 3), "z": (1, 8, 1, 1)}, (1, 8, 3, 3), {}, 0, 72),
            (("GlobalAveragePool", ["x"], ["y"], {}), {"x": (1, 8, 3, 3)}, (1, 8, 1, 1), {}, 0, 72),
            (("MaxPool", ["x"], ["y"], {"kernel_shape": [3, 3]}), {"x": (1, 2, 5, 5)}, (1, 2, 3, 3), {}, 0, 18 * 9),
            (("Softmax", ["x"], ["y"], {"axis": -1}), {"x": (4, 4)}, (4, 4), {}, 0, SOFTMAX_STEPS * 16),
            (("Transpose", ["x"], ["y"], {"perm": [1, 0]}), {"x": (4, 3)}, (3, 4), {}, 0, 0),
        ],
    )
    def test_one_node(self, node, inputs, output, weights, macs, elements):
        cost = graph_cost(model_of([node], inputs, {"y": output}, weights))
        assert (cost.macs, cost.elements, cost.uncounted) == (macs, elements, ())

    @pytest.mark.parametrize(("gates", "each"), [((), 4), (("gates",), 5)])
    def test_a_deformable_convolution_has_macs_and_samples_four_pixels_a_tap(self, gates, each):
        inputs = {"x": (2, 8, 6, 5), "offsets": (2, 18, 6, 5), **dict.fromkeys(gates, (2, 9, 6, 5))}
        nodes = [("DeformConv", ["x", "w", "offsets", "", *gates], ["y"], {"pads": [1] * 4})]
        cost = graph_cost(model_of(nodes, inputs, {"y": (2, 4, 6, 5)}, {"w": floats(4, 8, 3, 3)}, opset=19))
        assert (cost.macs, cost.elements, cost.uncounted) == (2 * 4 * 30 * 72, 2 * 8 * 30 * 9 * each, ())

    def test_what_no_table_knows_is_named_and_not_zero(self):
        cost = graph_cost(model_of([("Hardmax", ["x"], ["y"], {})], {"x": (2, 2)}, {"y": (2, 2)}))
        assert cost.nodes[0].macs is None
        assert cost.uncounted == ("Hardmax",)

    def test_bytes_moved_count_reads_and_writes_but_no_views(self):
        shape = np.array([6], dtype=np.int64)
        model = model_of(
            [("Relu", ["x"], ["a"], {}), ("Reshape", ["a", "s"], ["b"], {}), ("Add", ["b", "b"], ["y"], {})],
            {"x": (2, 3)}, {"y": (6,)}, {"s": shape},
        )  # fmt: skip
        assert [node.bytes_moved for node in graph_cost(model).nodes] == [48, 0, 72]

    def test_the_activation_peak_by_hand(self):
        # x(24) -> a(24); b = 2 branches; at Add: a, b live and y written
        model = model_of(
            [("Relu", ["x"], ["a"], {}), ("Sigmoid", ["a"], ["b"], {}), ("Mul", ["a", "b"], ["y"], {})],
            {"x": (2, 3)}, {"y": (2, 3)},
        )  # fmt: skip
        assert graph_cost(model).activation_peak == 3 * 24
        assert graph_cost(model).largest_activation == 24

    def test_a_view_shares_its_buffer_and_keeps_it_alive(self):
        shape = np.array([6], dtype=np.int64)
        nodes = [
            ("Relu", ["x"], ["a"], {}), ("Reshape", ["a", "s"], ["v"], {}), ("Relu", ["x"], ["c"], {}),
            ("Reshape", ["c", "s"], ["w"], {}), ("Add", ["v", "w"], ["y"], {}),
        ]  # fmt: skip
        assert graph_cost(model_of(nodes, {"x": (2, 3)}, {"y": (6,)}, {"s": shape})).activation_peak == 3 * 24

    def test_weights_are_counted_in_elements_and_bytes(self):
        cost = graph_cost(
            model_of([("Conv", ["x", "w"], ["y"], {})], {"x": (1, 2, 4, 4)}, {"y": (1, 3, 4, 4)}, {"w": floats(3, 2, 1, 1)})
        )
        assert (cost.weight_elements, cost.weight_bytes) == (6, 24)


class TestCanonicalise:
    def pooled(self, op: str, axes: list[int], keepdims: int = 1, shape=(1, 4, 6, 5)) -> list[str]:
        out = [1 if i in [a % len(shape) for a in axes] else d for i, d in enumerate(shape)]
        out = out if keepdims else [d for i, d in enumerate(shape) if i not in [a % len(shape) for a in axes]]
        model = model_of(
            [(op, ["x", "axes"], ["y"], {"keepdims": keepdims})], {"x": shape}, {"y": tuple(out)},
            {"axes": np.array(axes, dtype=np.int64)},
        )  # fmt: skip
        image = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        before = ran(serialise(model), image)[0]
        after = ran(serialise(canonicalise(model)), image)[0]
        assert np.allclose(before, after, atol=1e-6)
        return [node.op_type for node in model.graph]

    def test_reductions_of_the_plane_become_global_pools(self):
        assert self.pooled("ReduceMean", [2, 3]) == ["GlobalAveragePool"]
        assert self.pooled("ReduceMax", [-1, -2]) == ["GlobalMaxPool"]

    def test_other_reductions_stay(self):
        assert self.pooled("ReduceMean", [1]) == ["ReduceMean"]
        assert self.pooled("ReduceMax", [2, 3], keepdims=0) == ["ReduceMax"]
        assert self.pooled("ReduceMean", [1, 2], shape=(2, 6, 5)) == ["ReduceMean"]
        assert self.pooled("ReduceSum", [2, 3]) == ["ReduceSum"]


class Net(nn.Module):
    """Three sites: inside, at an output, and before a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.first, self.last = Site("first"), Site("last")

    def forward(self, image):
        x = self.first(torch.relu(self.a(image)))
        return self.last(torch.relu(self.b(x)) + x)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    module = Net().eval()
    with marked(module):
        return module, to_onnx(module, (1, 3, 8, 8), canonical=True)


def gate() -> bytes:
    return to_onnx(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid()), (1, 4, 8, 8), canonical=True)


def run(model: ir.Model, image: np.ndarray) -> np.ndarray:
    return ran(serialise(model), image)[0]


class TestSplice:
    def test_markers_carry_sites_and_shapes(self, net):
        assert planes(parse(net[1])) == {"first": (1, 4, 8, 8), "last": (1, 4, 8, 8)}

    def test_the_baseline_has_no_trace_of_the_sites(self, net):
        model = splice(net[1], {})
        assert not markers(model)
        assert {node.domain for node in model.graph} == {""}
        assert "attnbench" not in model.graph.opset_imports

    def test_a_module_at_an_output_and_two_in_a_row(self, net):
        graph = net[1]
        data = gate()
        model = splice(graph, {"last": [("gate", data), ("gate", data)]})
        image = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)
        expected = run(splice(graph, {}), image)
        for _ in range(2):
            (expected,) = ran(data, expected)
        assert np.allclose(run(model, image), expected, atol=1e-5)
        assert {inserted_site(n.name) for n in model.graph if is_inserted(n.name)} == {"last"}

    def test_one_module_twice_keeps_its_weights_apart_and_the_bytes_whole(self, net):
        data, before = gate(), None
        before = bytes(data)
        model = splice(net[1], {"first": [("g", data)], "last": [("g", data)]})
        assert data == before
        names = [name for name in model.graph.initializers if name.startswith("@")]
        assert len(names) == len(set(names)) == 4

    def test_a_shape_that_does_not_fit_is_refused(self, net):
        small = to_onnx(nn.Sigmoid(), (1, 4, 4, 4), canonical=True)
        with pytest.raises(CaseFailure, match=r"the site has shape \[1, 4, 8, 8\], the module \[1, 4, 4, 4\]"):
            splice(net[1], {"first": [("s", small)]})

    def test_an_identity_leaves_the_graph_as_it_was(self, net):
        data = to_onnx(nn.Identity(), (1, 4, 8, 8), canonical=True)
        model = splice(net[1], {"first": [("identity", data)], "last": [("identity", data)]})
        assert len(list(model.graph)) == len(list(splice(net[1], {}).graph))

    def test_a_module_of_a_newer_opset_raises_the_host_and_leaves_its_names_and_weights(self, net, tmp_path):
        host = parse(net[1])
        ir.external_data.unload_from_model(host, tmp_path, "net.weights", size_threshold_bytes=0)
        host = serialise(host)
        gate_of = {opset: to_onnx(nn.Sigmoid(), (1, 4, 8, 8), canonical=True, opset=opset) for opset in (18, 19)}
        image = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)
        graphs, results = [], []
        for opset, row in ((18, (18, 18)), (19, (19, 18))):
            graphs.append(splice(host, {"first": [("gate", gate_of[version]) for version in row]}))
            assert graphs[-1].opset_imports[""] == opset
            path = tmp_path / f"{opset}.onnx"
            path.write_bytes(serialise(graphs[-1]))
            results.append(ran(path, image)[0])
        old, raised = ([(n.name, n.op_type) for n in graph.graph] for graph in graphs)
        assert raised == old
        assert list(graphs[0].graph.initializers) == list(graphs[1].graph.initializers)
        assert {type(w.const_value) for w in graphs[1].graph.initializers.values()} == {ir.ExternalTensor}
        assert np.array_equal(*results)

    def test_any_tensor_of_a_bare_graph_can_be_a_site(self, net):
        model = splice(net[1], {})
        names = list(tensors(model))
        mark_tensors(model, [names[0], names[-1]])
        marked_graph = serialise(model)
        image = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)
        assert list(planes(parse(marked_graph))) == [names[0], names[-1]]
        assert np.array_equal(run(splice(marked_graph, {}), image), run(splice(net[1], {}), image))
        again = splice(marked_graph, {names[-1]: [("gate", gate())]})
        assert [o.name for o in again.graph.outputs] == [o.name for o in splice(net[1], {}).graph.outputs]

    def test_a_tensor_that_is_not_there_is_answered(self, net):
        model = splice(net[1], {})
        with pytest.raises(UnknownName, match="did you mean"):
            mark_tensors(model, [next(iter(tensors(model))) + "x"])


class TestNaming:
    @pytest.mark.parametrize("site", ["encoder.layer3", "/layer1/Relu_output_0", "a@1.b"])
    def test_names_carry_site_and_module(self, site):
        node = insertion_prefix(site, 1, "se[reduction=8]") + "node_mul/x"
        assert is_inserted(node)
        assert inserted_site(node) == site
        assert inserted_module(node) == "se[reduction=8]"
        assert display_name(node) == f"se[reduction=8]/node_mul/x at {site}"

    def test_a_hosts_own_node_is_not_inserted(self):
        assert not is_inserted("/layer1/conv")
        assert inserted_site("/layer1/conv") == ""


def executed(*ops: str) -> list[ExecutedNode]:
    return [ExecutedNode(op, op.split("/")[-1], "inputs", "outputs", 0) for op in ops]


def conv(name: str, inputs: str = "x w b", outputs: str = "y", weights: int = 4) -> ExecutedNode:
    return ExecutedNode(name, "Conv", inputs, outputs, weights)


class TestAlign:
    def test_added_and_removed_nodes_are_told_from_shared_ones(self):
        found = align(executed("Conv", "Relu", "Conv"), executed("Conv", "Reorder", "@s@0.m@/Mul", "Conv"))
        assert found.shared == ((0, 0), (2, 3))
        assert found.added == (1, 2)
        assert found.removed == (1,)

    def test_an_inserted_node_is_never_shared_even_if_it_looks_the_same(self):
        found = align(executed("Conv", "Conv"), executed("Conv", "@s@0.m@/Conv", "Conv"))
        assert found.added == (1,)

    def test_names_do_not_matter_and_weights_do(self):
        assert align([conv("a")], [conv("b")]).shared == ((0, 0),)
        assert align([conv("a")], [conv("a", weights=8)]).removed == (0,)

    def test_a_node_that_moved_is_shared(self):
        left = [conv("a", outputs="1"), conv("b", outputs="2"), conv("c", outputs="3")]
        right = [left[2], left[0], left[1]]
        found = align(left, right)
        assert found.shared == ((0, 1), (1, 2), (2, 0))
        assert not found.added
        assert not found.removed

    def test_a_node_that_something_was_fused_into_is_changed_and_not_removed(self):
        fused = [conv("a"), conv("sum", inputs="x w b residual"), conv("c", weights=8)]
        apart = [conv("a"), conv("plain"), ExecutedNode("add", "Add", "y residual", "y", 0), conv("c", weights=8)]
        found = align(fused, apart)
        assert found.changed == ((1, 1),)
        assert found.added == (2,)
        assert not found.removed

    def test_a_node_without_weights_has_no_role_to_keep(self):
        found = align([ExecutedNode("a", "Add", "1", "2", 0)], [ExecutedNode("a", "Add", "3", "2", 0)])
        assert (found.changed, found.added, found.removed) == ((), (0,), (0,))

    def test_every_node_is_in_one_part(self):
        left = executed(*"ABCABDC")
        right = [*executed("A", "@s@0.m@/X", "C", "B", "A", "R"), conv("z")]
        found = align(left, right)
        both = [*found.shared, *found.changed]
        assert sorted([i for i, _ in both] + list(found.removed)) == list(range(len(left)))
        assert sorted([j for _, j in both] + list(found.added)) == list(range(len(right)))


class TestPeak:
    def test_a_tensor_lives_until_its_last_reader(self):
        steps = [Step("Conv", ["x"], ["a"]), Step("Conv", ["a"], ["b"]), Step("Add", ["a", "b"], ["y"])]
        sizes = {"x": 100, "a": 10, "b": 20, "y": 10}
        assert peak(steps, ["x"], ["y"], sizes) == 110
        assert peak(steps[1:], ["a"], ["y"], sizes) == 10 + 20 + 10

    def test_an_op_in_place_takes_no_room_for_its_result(self):
        steps = [Step("MatMul", ["x"], ["a"]), Step("Softmax", ["a"], ["b"]), Step("MatMul", ["b"], ["y"])]
        sizes = {"x": 1, "a": 100, "b": 100, "y": 1}
        assert peak(steps, ["x"], ["y"], sizes) == 200
        assert peak(steps, ["x"], ["y"], sizes, in_place={"Softmax"}) == 101

    def test_nothing_is_written_over_that_is_still_read_or_of_another_size(self):
        steps = [Step("Conv", ["x"], ["a"]), Step("Relu", ["a"], ["b"]), Step("Add", ["a", "b"], ["y"])]
        sizes = {"x": 1, "a": 100, "b": 100, "y": 100}
        assert peak(steps, ["x"], ["y"], sizes, in_place={"Relu"}) == 300
        assert peak(steps[:2], ["x"], ["b"], {**sizes, "b": 99}, in_place={"Relu"}) == 199

    def test_a_view_shares_its_sources_room(self):
        steps = [Step("Conv", ["x"], ["a"]), Step("Reshape", ["a"], ["b"]), Step("Conv", ["b"], ["y"])]
        assert peak(steps, ["x"], ["y"], {"x": 1, "a": 100, "b": 100, "y": 50}) == 150


@pytest.fixture
def onnx_file(net, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(serialise(splice(net[1], {})))
    return path


class TestHostFiles:
    def refused(self, path, message):
        with pytest.raises(InputError, match=message) as caught:
            read_host_file(str(path))
        assert "\n" not in str(caught.value)

    def test_a_good_file_is_read(self, onnx_file):
        assert file_size(str(onnx_file)) == (8, 8)
        assert tensors(parse(read_host_file(str(onnx_file))))

    @pytest.mark.parametrize("opset", [11, 13, 17])
    def test_an_older_file_is_brought_up_and_computes_the_same(self, tmp_path, opset):
        nodes = [("Conv", ["x", "w"], ["a"], {}), ("ReduceMean", ["a"], ["y"], {"axes": [2, 3], "keepdims": 1})]
        model = model_of(nodes, {"x": (1, 3, 4, 4)}, {"y": (1, 2, 1, 1)}, {"w": floats(2, 3, 1, 1)}, opset=opset)
        path = tmp_path / "old.onnx"
        path.write_bytes(serialise(model))
        image = np.random.default_rng(0).standard_normal((1, 3, 4, 4), dtype=np.float32)
        converted = read_host_file(str(path), 18)
        assert parse(converted).opset_imports[""] == 18
        before, after = (ran(data, image)[0] for data in (path.read_bytes(), converted))
        assert np.allclose(before, after, atol=1e-6)

    def test_nodes_without_a_name_get_one(self, onnx_file, tmp_path):
        proto = onnx.load(onnx_file)
        for node in proto.graph.node:
            node.name = ""
        path = tmp_path / "nameless.onnx"
        onnx.save(proto, path)
        assert all(node.name for node in parse(read_host_file(str(path))).graph)

    def test_missing_empty_text_and_truncated_files(self, onnx_file, tmp_path):
        self.refused(tmp_path / "no.onnx", "no such file")
        path = tmp_path / "bad.onnx"
        for content, message in [
            (b"", "the file is empty"), (b"hello, this is text\n", "not an ONNX model"),
            (onnx_file.read_bytes()[:-100], "not an ONNX model, or a truncated one"),
        ]:  # fmt: skip
            path.write_bytes(content)
            self.refused(path, message)

    def test_a_dynamic_batch_is_named(self, onnx_file, tmp_path):
        proto = onnx.load(onnx_file)
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
        path = tmp_path / "dynamic.onnx"
        onnx.save(proto, path)
        self.refused(path, r"dynamic dimensions \(N=batch\)")

    def test_a_custom_op_is_named(self, onnx_file, tmp_path):
        proto = onnx.load(onnx_file)
        proto.graph.node[0].domain = "com.vendor"
        path = tmp_path / "custom.onnx"
        onnx.save(proto, path)
        self.refused(path, "custom domain .*: com.vendor::Conv")

    def test_missing_external_data_is_named(self, onnx_file, tmp_path):
        path = tmp_path / "external.onnx"
        onnx.save(onnx.load(onnx_file), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
        (tmp_path / "weights.bin").unlink()
        self.refused(path, "external data cannot be read")

    def test_two_inputs_or_no_image_are_named(self, tmp_path):
        path = tmp_path / "two.onnx"
        path.write_bytes(serialise(model_of([("Add", ["a", "b"], ["y"], {})], {"a": (1, 2), "b": (1, 2)}, {"y": (1, 2)})))
        self.refused(path, "takes 2 inputs")
        path.write_bytes(serialise(model_of([("Relu", ["a"], ["y"], {})], {"a": (1, 2)}, {"y": (1, 2)})))
        self.refused(path, "is not an image")


def test_allowzero_goes_where_no_shape_holds_a_zero_and_stays_where_one_does():
    for shape, expected in (([2, 12], None), ([0, 24], 1)):
        nodes = [("Reshape", ["x", "s"], ["y"], {"allowzero": 1})]
        given = (0, 4, 6) if shape[0] == 0 else (1, 2, 3, 4)
        model = canonicalise(model_of(nodes, {"x": given}, {"y": tuple(shape)}, {"s": np.array(shape, dtype=np.int64)}))
        (node,) = model.graph
        assert node.attributes.get_int("allowzero", None) == expected


def test_an_export_by_tables_that_are_kept_is_the_exporters_own_and_those_are_left_as_they_were(monkeypatch):
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Hardswish())
    tables = [(owner, name, owner.__dict__[name]) for owner, name, _ in export._tables()]
    given = to_onnx(module, (1, 4, 8, 8), canonical=True)
    assert [owner.__dict__[name] for owner, name, _ in tables] == [plain for *_, plain in tables]
    assert len(tables) == 3, "this torch has them where they are looked for"
    monkeypatch.setattr(export, "_tables", tuple)
    assert to_onnx(module, (1, 4, 8, 8), canonical=True) == given
