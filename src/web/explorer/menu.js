// A button that opens what belongs to it: closed by Escape, by a click beside it, or by what is chosen in it.

import { Component, createRef, html } from "./html.js";

/** `draw(close)` returns what is shown while the menu is open. */
export class Menu extends Component {
  constructor() {
    super();
    this.state = { isOpen: false };
    this.root = createRef();
    this.button = createRef();
  }

  componentDidUpdate() {
    const change = this.state.isOpen ? addEventListener : removeEventListener;
    change("pointerdown", this.onPointerDown);
    // What had the focus was taken out of the menu: without this, no key would reach it any more.
    if (this.state.isOpen && this.wasOpen && document.activeElement === document.body) this.button.current.focus();
    this.wasOpen = this.state.isOpen;
  }

  componentWillUnmount() {
    removeEventListener("pointerdown", this.onPointerDown);
  }

  onPointerDown = ({ target }) => {
    if (!this.root.current.contains(target)) this.setState({ isOpen: false });
  };

  onKeyDown = (event) => {
    if (event.key !== "Escape" || !this.state.isOpen) return;
    event.preventDefault();
    this.close();
  };

  close = () => {
    this.setState({ isOpen: false });
    this.button.current.focus();
  };

  render({ label, draw }, { isOpen }) {
    return html`
      <div class="menu" ref=${this.root} onKeyDown=${this.onKeyDown}>
        <button
          type="button"
          class="button"
          ref=${this.button}
          aria-expanded=${isOpen ? "true" : "false"}
          onClick=${() => this.setState({ isOpen: !isOpen })}
        >${label}</button>
        ${isOpen ? html`<div class="popover">${draw(this.close)}</div>` : null}
      </div>
    `;
  }
}
