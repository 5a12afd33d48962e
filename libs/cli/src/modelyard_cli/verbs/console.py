"""modelyard console: a link that signs in to the web pages."""

from urllib.parse import urlencode

from modelyard import ApiClient
from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, reports_errors, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import CONSOLE, DEFAULT_DATA_DIR, StackError


@reports_errors
def console(data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """Print a link to the console that signs in once, within 5 minutes."""
    link = console_link(Platform.find(data_dir))
    show(output, {"url": link}, lambda: link)


def console_link(platform: Platform) -> str:
    """A link that signs in once with the key of this platform."""
    url = platform.urls.get(CONSOLE.name)
    if url is None:
        raise StackError("CONSOLE_URL is not set; set it to the address of the console")
    with ApiClient(url, platform.token) as client:
        code = client.post("/v1/sign-in-codes")["code"]
    return f"{url}/sign-in?{urlencode({'code': code})}"
