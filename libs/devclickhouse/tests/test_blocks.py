"""Compressed blocks (`compress=1`, `decompress=1`), as JDBC uses them by default."""

import gzip
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import lz4.block
import pytest
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from modelyard_devclickhouse.blocks import MAX_BLOCK_BYTES, BlockEncoder, method, unblocked
from modelyard_devclickhouse.errors import ClickHouseError

pytestmark = pytest.mark.usefixtures("loopback")

LONG = "SELECT '" + "".join(f"{number * number * 7919 % 9973}," for number in range(400)) + "' AS long"
RECORDED = {
    "SELECT 7": "c702b8f6ca0136595b857a7581547daf8212000000080000008053454c4543542037",
    "INSERT INTO ml.framed FORMAT TSV\n1\tone\n2\ttwo\n": (
        "0cf90470b5e319cd1123148e15c2433582380000002d000000f01e494e5345525420494e544f206d6c2e6672616d656420464f524d"
        "4154205453560a31096f6e650a320974776f0a"
    ),
    LONG: (
        "31493d1c06fa9b8db72444d107c3e9518278050000dc050000f02c53454c4543542027302c373931392c313735372c313436302c3730"
        "32382c383438382c353834302c393035372c383136362c333136372c343033333200f01d2c333431342c313932392c363330392c3635"
        "38312c323734352c343737342c323639352c363438312c3631355e00203239400030342c343b00f02f3638332c323736372c37373136"
        "2c383535372c353239302c373838382c363337382c3736302c313030372c373131392c393132332c373031392c3830372ca500203539"
        "2500613338382c34363900e035372c363931362c313836372c32610030393336a100f00d36342c3432392c343735392c343938312c31"
        "3039352c333037342c39ae00503638312c34c200c0393830322c313231342c38343a00f00a3633332c3636372c353536362c36333537"
        "2c333034302c35357500012401c03333332c383533302c34363102015037332c3434a500f0003133302c373733332c333232382c3432"
        "0010314c012034394600503936362c380f00f002393630362c363236342c383738372c37328100503530392c319500f005373731382c"
        "393634372c373436382c313138312cc50010362700f001373533372c343736342c373835362c364f0010314d01b0323435372c393036"
        "332c317700f000393935312c343233332c343338302c9e0050323332332c560161333738302c33c500c03735312c38382c373236332c"
        "ea00b0393238392c343134302c345f0010311101f003333933372c323330322c363533322c363635e7011036e00010341900f0093138"
        "2c353935342c353438322c3930322c323138372c39333600f0033430362c313334302c363133392c36383330400250332c3538369f00"
        "4030312c382300303835304301f00239322c363334362c343039322c373730331b0180362c323630312c33320040313031338a026030"
        "2c32393339460250332c383337e101f00b33372c373336302c353637352c393835352c393932372c35383952017032302c353434319f"
        "00f005372c383530352c333837352c353131302c3232338702002c02a03131332c383836322c399100e0363033362c383433342c3637"
        "32345d01d02c3935332c363836352c38363601031136670031362c39850000260060353933342c333a00203630d500024e004038362c"
        "32320320373159037038332c37333438f40150352c313532ea016131342c3931395e0000b902a0372c393832382c3531341903203333"
        "370110308e02c1322c353138362c393838352ca500603935392c39333203803534372c31363739050090362c373533382c3932540130"
        "3933383402001701003f004034372c36310021333356029037362c353038352c396502006100f00b363738332c393130362c37333231"
        "2c313432382c313430302c372a011038c7024036353837a803004b031031f90030312c353102c0323838332c353737352c34359800d0"
        "3230382c393734392c363138325d0410305b0380302c3735322c36393c03f10631312c383231352c353831312c393237322c3836329f"
        "01003703f00b38302c313938322c343834392c333630382c383233322c3837341c014035362c37e40370353539342c3936a401503534"
        "362c3508024037303339a00350302c383034ca00009d0400280010332201803635362c33343938fd01103298021031ec0060322c3337"
        "3035ce02006602a039332c383039382c37393804203738e202f00833382c323938342c363339352c353639382c3839332c313100f001"
        "383837382c313732322c3433312c35304900603437312c31385a0220303518034136372c367f0100d3041031670140333431322c0300"
        "3500007e01203937dd0030302c394401f009363730322c393439342c383137382c323735342c333139359f0210316c00f001362c3937"
        "38392c333737312c33363138a2bf0686e33a9602ec4e43d767c4afe082d5010000d7010000f1492c393333302c3936312c383433302c"
        "313831382c313037312c363138392c373139392c343130312c363836382c353532372c37382c3439342c363737352c383934382c3730"
        "31332c3937302c3739322c363437392c3830352d00f105392c383836352c383039332c333231332c3431395f00f010352c333831372c"
        "323435312c363935302c373334312c333632342c353737321e00f008322c373731372c373531342c333230332c343735372c320a0010"
        "35140010341e0050393738352c310050373539372c4400f027383932332c333432342c333739302c34382c323137312c3138362c3430"
        "36362c333833382c393437352c313033312c383432352c31371400b031362c353935392c3638393d005032312c3634b300f011393937"
        "2c393434362c393738372c363032302c383131382c363130382c393936fc006031302c3533343c007035332c34323439b800f009302c"
        "363636332c313730382c323631382c393339332c323046006034362c35303736005038362c31357200f0233636372c313633322c3534"
        "36322c353138342c3739382c323237372c393632312c323838342c323031322c373030352c3738e000003600f004373330392c353834"
        "332c27204153206c6f6e67"
    ),
}
"""Blocks that the official Java client (client-v2 0.9.8, which the JDBC driver uses) made of these texts."""


def blocks(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """(method, data) of each block, read as the Java client does."""
    while raw:
        method, packed, size = struct.unpack_from("<BII", raw, 16)
        body, rest = raw[16 : 16 + packed], raw[16 + packed :]
        number = CityHash128(body)
        assert raw[:16] == struct.pack("<QQ", number >> 64, number & (1 << 64) - 1)
        decode: dict[int, Any] = {
            0x82: lambda packed, size: lz4.block.decompress(packed, uncompressed_size=size),
            0x90: lambda packed, size: zstandard.ZstdDecompressor().decompress(packed, max_output_size=size),
            0x02: lambda packed, _: packed,
        }
        data = decode[method](body[9:], size)
        assert len(data) == size
        yield method, data
        raw = rest


def joined(raw: bytes) -> bytes:
    return b"".join(data for _, data in blocks(raw))


def packed(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return BlockEncoder(method("LZ4")).feed(raw)


async def read(raw: bytes, step: int) -> bytes:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(raw), step):
            yield raw[at : at + step]

    return b"".join([data async for data in unblocked(pieces())])


@pytest.mark.parametrize("text", RECORDED, ids=["one short block", "one block", "two blocks"])
@pytest.mark.parametrize("step", [1, 7, 24, 25, 26, 10_000])
async def test_blocks_of_the_java_client_are_read_wherever_they_are_cut(text: str, step: int) -> None:
    assert await read(bytes.fromhex(RECORDED[text]), step) == text.encode()


@pytest.mark.parametrize("name", ["LZ4", "lz4hc", "ZSTD", "NONE"])
async def test_what_is_written_can_be_read(name: str) -> None:
    data = bytes(range(256)) * 10_000
    raw = BlockEncoder(method(name)).feed(data)
    assert [len(part) for _, part in blocks(raw)] == [1 << 20, 1 << 20, len(data) - (2 << 20)]
    assert joined(raw) == await read(raw, 4096) == data
    assert BlockEncoder(method(name)).feed(b"") == b""


async def test_an_empty_block_is_no_data() -> None:
    """Java's stream writes one when it is closed at the end of a block."""
    body = struct.pack("<BII", 0x82, 10, 0) + b"\0"
    number = CityHash128(body)
    empty = struct.pack("<QQ", number >> 64, number & (1 << 64) - 1) + body
    assert await read(packed("SELECT ") + empty + packed("7") + empty, 5) == b"SELECT 7"


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda raw: raw[:20] + bytes([raw[20] ^ 1]) + raw[21:], (271, 33, 40)),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), (40,)),
        (lambda raw: bytes([raw[0] ^ 1]) + raw[1:], (40,)),
        (lambda raw: raw[:-1], (33,)),
        (lambda raw: raw[:24], (33,)),
        (lambda raw: raw + b"SELECT 1", (33,)),
        (lambda raw: raw[:17] + struct.pack("<I", MAX_BLOCK_BYTES + 1) + raw[21:], (271,)),
        (lambda raw: raw[:17] + struct.pack("<I", 8) + raw[21:], (271,)),
        (lambda raw: raw[:21] + struct.pack("<I", 0xFFFFFFFF) + raw[25:], (271,)),
    ],
)
async def test_damaged_blocks_are_errors(damage: Any, code: tuple[int, ...]) -> None:
    with pytest.raises(ClickHouseError) as caught:
        await read(damage(packed(LONG)), 100)
    assert caught.value.code in code


@pytest.mark.parametrize(
    ("method_byte", "payload", "size"),
    [(0x82, b"\xff" * 8, 50), (0x90, b"no zstd", 50), (0x91, b"x", 1), (0x02, b"abc", 2)],
)
async def test_blocks_that_do_not_hold_what_they_state_are_errors(method_byte: int, payload: bytes, size: int) -> None:
    body = struct.pack("<BII", method_byte, 9 + len(payload), size) + payload
    number = CityHash128(body)
    with pytest.raises(ClickHouseError) as caught:
        await read(struct.pack("<QQ", number >> 64, number & (1 << 64) - 1) + body, 100)
    assert caught.value.code == 271


@pytest.mark.parametrize("user", ["reader", "writer"])
@pytest.mark.parametrize("name", ["", "ZSTD", "NONE"])
def test_answers_and_errors_come_in_blocks_if_asked(server: Any, user: str, name: str) -> None:
    more = {"network_compression_method": name} if name else {}
    answer = server.ask("SELECT number FROM numbers(1000) FORMAT TSV", user, compress="1", **more)
    assert "Content-Encoding" not in answer.headers
    assert joined(answer.content) == b"".join(b"%d\n" % number for number in range(1000))
    assert {code for code, _ in blocks(answer.content)} == {method(name or "LZ4")}
    wrong = server.ask("SELECT nope", user, compress="1", **more)
    assert wrong.status_code == 404 and joined(wrong.content).startswith(b"Code: 47.")
    assert server.ask("SELECT 1", user, compress="1", network_compression_method="rot13").status_code == 400


def test_a_refused_login_is_plain_text(server: Any) -> None:
    """JDBC reads errors with the status 401 and 403 without blocks."""
    answer = server.client.post(server.url, params={"compress": "1"}, content="SELECT 1", auth=("reader", "wrong"))
    assert (answer.status_code, answer.content[:9]) == (403, b"Code: 516")
    refused = server.ask("DROP TABLE nothing", "reader", compress="1")
    assert (refused.status_code, refused.content[:9]) == (403, b"Code: 164")


def test_a_long_answer_and_its_late_error_come_in_blocks(server: Any) -> None:
    sql = "SELECT number, throwIf(number = {}) FROM numbers(1000000) FORMAT TSV"
    good = server.ask(sql.format(-1), "reader", compress="1")
    assert joined(good.content).count(b"\n") == 1_000_000
    broken = b""
    with server.client.stream(
        "POST",
        server.url,
        params={"compress": "1", "max_threads": "1"},
        content=sql.format(900_000),
        auth=("writer", "w-secret"),
    ) as response:
        assert response.status_code == 200
        with pytest.raises(Exception, match=r"incomplete|peer closed"):
            for chunk in response.iter_raw():
                broken += chunk
    assert b"Code: 395." in joined(broken).partition(b"\r\n__exception__\r\n")[2]


def test_blocks_lie_within_the_encoding_of_http(server: Any) -> None:
    request = server.client.build_request(
        "POST",
        server.url,
        params={"compress": "1", "enable_http_compression": "1"},
        content="SELECT 7",
        headers={"Accept-Encoding": "gzip", "X-ClickHouse-User": "reader", "X-ClickHouse-Key": "r-secret"},
    )
    answer = server.client.send(request, stream=True)
    assert joined(gzip.decompress(b"".join(answer.iter_raw()))) == b"7\n"


def test_statements_and_inserts_arrive_in_blocks(server: Any) -> None:
    server.value("CREATE TABLE ml.framed (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    recorded = bytes.fromhex(RECORDED["INSERT INTO ml.framed FORMAT TSV\n1\tone\n2\ttwo\n"])
    assert server.ask(recorded, decompress="1").status_code == 200
    rows = b"".join(b"%d\tmany\n" % number for number in range(3, 100_001))
    insert = packed("INSERT INTO ml.framed FORMAT TSV\n") + packed(rows)
    cut = iter([insert[:10], insert[10:40], insert[40:]])
    sent = server.client.post(server.url, params={"decompress": "1"}, content=cut, auth=("writer", "w-secret"))
    assert sent.status_code == 200, sent.text
    answer = server.ask(packed("SELECT count(), sum(a) FROM ml.framed"), "reader", decompress="1", compress="1")
    assert joined(answer.content) == b"100000\t5000050000\n"
    damaged = insert[:-1] + bytes([insert[-1] ^ 1])
    assert server.ask(damaged, decompress="1").headers["X-ClickHouse-Exception-Code"] == "40"
    assert server.value("SELECT count() FROM ml.framed") == "100000"
