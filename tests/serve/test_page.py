"""The page: its headers, and what a person sees of it in a real browser."""

import base64
import re
import shutil

import numpy as np
import pytest

from tests.serve.serving import CLASSES, LENGTH, FakeSessions, Network, recording, served, tone, wait_until

MODEL = {"net": "tiny<b>", "hash": "0123456789abcdef", "adapt": "session"}
BARK = recording(np.tile(tone(), 3)[: 2 * LENGTH + 500], subtype="PCM_16")


class Sessions(FakeSessions):
    """Sessions that tell what the page shows."""

    def describe(self, name):
        more = {"answers_from": "session", "clips_learnt_from": 16, "clips_waiting": 2}
        return {**super().describe(name), **more}


@pytest.fixture(scope="module")
def service():
    with served(Sessions(), model=MODEL, decoders=1) as running:
        yield running


def test_the_page_asks_no_other_host_and_holds_no_script(service):
    status, said, headers = service("GET", "/")
    assert status == 200 and headers["content-type"].startswith("text/html")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; media-src blob:;") and "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "tiny&lt;b&gt;, 3 classes: bark, howl, meow." in said and 'data-adapt="session"' in said and "$" not in said
    assert not re.search(r"https?://|<script(?![^>]*src=)|\son\w+=|style=", said)
    loaded = re.findall(r'(?:href|src)="([^"]*)"', said)
    assert sorted(loaded) == ["page.css", "page.js", "page.svg"]
    for name, kind in zip(sorted(loaded), ("text/css", "text/javascript", "image/svg+xml"), strict=True):
        status, said, headers = service("GET", f"/{name}")
        assert status == 200 and headers["content-type"].startswith(kind) and "https://" not in said


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("chromium and chromium-driver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1000,1600"):
        options.add_argument(word)
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def until(driver, script):
    """What a script gives as soon as it is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, 60, 0.05).until(lambda one: one.execute_script(f"return {script}"))


def drop(driver, body, name):
    """Drops a file on the page, as a DataTransfer that no person made."""
    driver.execute_script(
        """const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], arguments[1], {type: "audio/wav"}));
        document.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));""",
        base64.b64encode(body).decode(),
        name,
    )


def complaints(driver):
    """What the console says, and every host that was asked."""
    import json

    said = [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    return said, asked


SHOWN = "!document.getElementById('answer').hidden && document.getElementById('label').textContent"
NOT_BLANK = """(() => { const c = document.getElementById('spectrogram');
  const d = c.getContext('2d').getImageData(60, 0, c.width - 60, c.height - 36).data;
  return new Set(Array.from({length: d.length / 4}, (_, i) => d[4 * i])).size; })()"""


@pytest.mark.slow
def test_a_recording_is_dropped_and_shown(service, browser):
    address = f"http://127.0.0.1:{service.port}"
    browser.get(address)
    drop(browser, BARK, "bark.wav")
    label = until(browser, SHOWN)
    said = service.classify(BARK)[1]
    assert label == f"{said['label']} ({100 * said['confidence']:.1f} %)"
    rows = browser.execute_script("return [...document.querySelectorAll('#bars tr')].map((r) => r.innerText)")
    assert [row.split()[0] for row in rows] == sorted(CLASSES, key=lambda name: -said["probabilities"][name])
    widths = browser.execute_script("return [...document.querySelectorAll('.bar div')].map((d) => d.style.width)")
    assert np.allclose([float(w[:-1]) for w in widths], 100 * np.sort(list(said["probabilities"].values()))[::-1])
    assert len(browser.execute_script("return [...document.querySelectorAll('#windows button')]")) == 3
    assert browser.execute_script(f"return {NOT_BLANK}") > 20
    assert browser.execute_script("return document.activeElement.id") == "label"
    assert until(browser, "document.getElementById('player').duration") == pytest.approx(0.5625, abs=0.01)
    assert browser.execute_script("return document.getElementById('error').textContent") == ""
    said, asked = complaints(browser)
    assert said == [] and {url.split("/")[2] for url in asked if url.startswith("http")} == {address[7:]}


@pytest.mark.slow
def test_a_file_is_chosen_and_a_broken_one_says_why(service, browser, tmp_path):
    browser.get(f"http://127.0.0.1:{service.port}")
    place = tmp_path / "bark.wav"
    place.write_bytes(BARK)
    browser.find_element("id", "file").send_keys(str(place))
    assert until(browser, SHOWN)
    drop(browser, BARK[:100], "broken.wav")
    sentence = until(browser, "document.getElementById('error').textContent")
    error = service.classify(BARK[:100])[1]["error"]
    expected = f"{error['message']}; expected {error['expected']}."
    assert sentence == expected[0].upper() + expected[1:]
    assert browser.execute_script("return document.getElementById('answer').hidden")
    complaints(browser)  # Chromium notes every answer that is no 200 as an error: they are expected here


@pytest.mark.slow
def test_a_session_adapts_and_is_reset(service, browser):
    browser.get(f"http://127.0.0.1:{service.port}")
    browser.find_element("id", "adapting").click()
    drop(browser, BARK, "bark.wav")
    assert until(browser, SHOWN)
    told = browser.execute_script("return document.getElementById('session-status').textContent")
    assert told.startswith("fake: 3 updates, 1 taken back; learnt from 16 clips, 2 are waiting; without adapting")
    resets = service.service.compute.predictor.resets
    browser.find_element("id", "reset").click()
    assert until(browser, "!document.getElementById('session-status').textContent.includes('without')")
    assert service.service.compute.predictor.resets == resets + 1
    browser.find_element("id", "adapting").click()
    until(browser, "document.getElementById('session-status').textContent.includes('closed')")
    assert complaints(browser)[0] == []


@pytest.mark.slow
def test_without_a_mouse_everything_is_reached_and_has_a_name(service, browser):
    from selenium.webdriver import ActionChains, Keys

    def press(key):
        ActionChains(browser).send_keys(key).perform()
        return browser.execute_script("return document.activeElement.id || document.activeElement.textContent")

    browser.get(f"http://127.0.0.1:{service.port}")
    drop(browser, BARK, "bark.wav")
    assert until(browser, SHOWN)
    controls = [one for one in browser.find_elements("css selector", "input, button, audio") if one.is_displayed()]
    named = {one.get_attribute("id") or one.text: one.accessible_name for one in controls}
    assert len(named) == 7 and all(named.values()), named  # file, player, three windows, the box, the way back
    assert browser.find_element("id", "spectrogram").accessible_name
    assert [browser.find_element("id", one).get_attribute("role") for one in ("status", "error")] == ["status", "alert"]
    reached = {press(Keys.TAB) for _ in range(20)}  # round and round; the player has stops of its own
    assert set(named) - {"reset"} <= reached  # which is disabled until there is a session
    while press(Keys.TAB) != "adapting":
        pass
    press(Keys.SPACE)
    drop(browser, BARK, "bark.wav")
    until(browser, "!document.getElementById('reset').disabled")
    while press(Keys.TAB) != "reset":
        pass
    resets = service.service.compute.predictor.resets
    press(Keys.ENTER)
    wait_until(lambda: service.service.compute.predictor.resets == resets + 1)
    browser.find_element("id", "adapting").click()
    until(browser, "document.getElementById('session-status').textContent.includes('closed')")
    complaints(browser)


@pytest.mark.slow
def test_a_token_is_asked_for(browser):
    with served(Network(), model={**MODEL, "adapt": "none"}, tokens=(b"open",)) as running:
        browser.get(f"http://127.0.0.1:{running.port}")
        assert not browser.find_element("id", "session").is_displayed()
        drop(browser, BARK, "bark.wav")
        assert "token" in until(browser, "document.getElementById('error').textContent")
        browser.find_element("id", "token").send_keys("open\t")
        drop(browser, BARK, "bark.wav")
        assert until(browser, SHOWN)
