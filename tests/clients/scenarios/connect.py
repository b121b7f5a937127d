"""A person connects a device by the link, with mouse and eyes: signs in on the way, sees who asks, answers; then comes back."""


def run(browser, asked):
    browser.open(asked["page"])
    assert browser.heading() == "Sign in", browser.heading()
    browser.type("User name", asked["user"])
    browser.type("Password", asked["password"])
    browser.press("Sign in")
    # The code went along.
    assert browser.heading() == "Connect this device?", browser.heading()
    text = browser.text()
    for part in (asked["code"], "127.0.0.1", "Asked", "download packages from every channel that you may read", asked["user"]):
        assert part in text, (part, text)
    browser.narrow()
    browser.press("Approve")
    assert browser.heading() == "The device is connected", browser.heading()
    # Loaded again, it sends nothing again and says the same.
    browser.reload()
    assert browser.heading() == "The device is connected", browser.heading()

    browser.open(asked["origin"] + "/sign-in")
    assert browser.heading() == "You are signed in", browser.heading()
    browser.press("Sign out")
    assert browser.heading() == "Sign in" and "You are signed out." in browser.text(), browser.text()
    browser.open(asked["origin"] + "/device?user_code=" + asked["code"])
    assert browser.heading() == "Sign in", "signed out"
